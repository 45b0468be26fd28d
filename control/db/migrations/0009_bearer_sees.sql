-- Who brings a token, and from now on the connection sees what he may see: a read needs no message of
-- its own for that. `place` is the workspace that he asks for; NULL: for all of his.
CREATE FUNCTION see_as_bearer(token_hash bytea, place uuid) RETURNS TABLE (
    kind text, id uuid, email text, name text, role text, scopes text[], family uuid,
    client uuid, client_workspace uuid, client_tier text, workspaces uuid[], roles text[],
    suspended uuid[], use_is_news boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    token tokens;
    seen uuid[];
    person text := '';
BEGIN
    -- Nobody sees anything afterwards, if no more is said below; this function sees everything.
    PERFORM set_config('voicecore.platform', '', false), set_config('voicecore.workspaces', '', false),
            set_config('voicecore.person', '', false);
    PERFORM set_config('voicecore.platform', 'on', true);

    SELECT * INTO token FROM tokens
    WHERE tokens.hash = token_hash AND tokens.kind = 'access' AND tokens.revoked_at IS NULL
      AND tokens.expires_at > now();

    IF token.admin_id IS NOT NULL THEN
        SELECT 'admin', admins.id, admins.email, admins.name, admins.role
        INTO kind, id, email, name, role
        FROM admins WHERE admins.id = token.admin_id AND admins.is_active;
        IF id IS NULL THEN RETURN; END IF;
        PERFORM set_config('voicecore.platform', 'on', false);
    ELSIF token.hash IS NOT NULL THEN
        kind := 'user';
        IF token.client_id IS NOT NULL THEN
            SELECT 'oauth', oauth_clients.id, oauth_clients.id, oauth_clients.workspace_id,
                   coalesce(oauth_clients.tier, tiers.rate_limit_tier)
            INTO kind, id, client, client_workspace, client_tier
            FROM oauth_clients
            LEFT JOIN workspaces AS home ON home.id = oauth_clients.workspace_id
            LEFT JOIN tiers ON tiers.tier_name = home.subscription_tier
            WHERE oauth_clients.id = token.client_id AND oauth_clients.revoked_at IS NULL
              AND home.deleted_at IS NULL;
            IF id IS NULL THEN RETURN; END IF;
        END IF;
        IF token.user_id IS NOT NULL THEN
            SELECT users.id, users.email, users.name INTO id, email, name
            FROM users WHERE users.id = token.user_id AND users.status = 'active';
            IF NOT FOUND THEN RETURN; END IF;
            SELECT array_agg(members.workspace_id), array_agg(members.role),
                   array_agg(members.workspace_id) FILTER (WHERE workspaces.status = 'suspended'),
                   array_agg(members.workspace_id) FILTER (
                       WHERE workspace_id = coalesce(place, workspace_id)
                       AND workspace_id = coalesce(client_workspace, workspace_id)
                   )
            INTO workspaces, roles, suspended, seen
            FROM members JOIN workspaces
              ON workspaces.id = members.workspace_id AND workspaces.deleted_at IS NULL
            WHERE members.user_id = token.user_id;
            person := id::text;
        ELSIF client_workspace IS NULL THEN
            PERFORM set_config('voicecore.platform', 'on', false);
        ELSE
            seen := ARRAY[client_workspace];
        END IF;
    ELSE
        SELECT 'api_key', api_keys.id, api_keys.name, tiers.rate_limit_tier,
               ARRAY[api_keys.workspace_id], ARRAY[api_keys.role],
               CASE workspaces.status WHEN 'suspended' THEN ARRAY[workspaces.id] END,
               CASE workspaces.id WHEN coalesce(place, workspaces.id) THEN ARRAY[workspaces.id] END,
               coalesce(api_keys.last_used_at < now() - interval '1 minute', true)
        INTO kind, id, name, client_tier, workspaces, roles, suspended, seen, use_is_news
        FROM api_keys JOIN workspaces
          ON workspaces.id = api_keys.workspace_id AND workspaces.deleted_at IS NULL
        LEFT JOIN tiers ON tiers.tier_name = workspaces.subscription_tier
        WHERE api_keys.key_hash = token_hash AND api_keys.revoked_at IS NULL;
        IF id IS NULL THEN RETURN; END IF;
    END IF;

    scopes := coalesce(token.scopes, '{}');
    family := token.family;
    workspaces := coalesce(workspaces, '{}');
    roles := coalesce(roles, '{}');
    suspended := coalesce(suspended, '{}');
    use_is_news := coalesce(use_is_news, false);
    PERFORM set_config('voicecore.workspaces', coalesce(seen, '{}')::text, false),
            set_config('voicecore.person', person, false);
    RETURN NEXT;
END $$;
