-- Calls that were tests are told from real ones.
ALTER TABLE calls ADD COLUMN is_test boolean NOT NULL DEFAULT false;
CREATE INDEX calls_tests ON calls (workspace_id, started_at DESC, number DESC) WHERE is_test;
CREATE INDEX calls_tests_of_all ON calls (started_at DESC, number DESC) WHERE is_test;

ALTER TABLE call_counts ADD COLUMN is_test boolean NOT NULL DEFAULT false;
ALTER TABLE call_counts DROP CONSTRAINT call_counts_pkey;
ALTER TABLE call_counts
    ADD PRIMARY KEY (workspace_id, day, agent_id, status, direction, is_test);

CREATE OR REPLACE FUNCTION count_calls() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO call_counts AS kept (workspace_id, day, agent_id, status, direction, is_test,
                                         calls, duration_ms, cost_micros)
        SELECT workspace_id, (started_at AT TIME ZONE 'UTC')::date,
               coalesce(agent_id, '00000000-0000-0000-0000-000000000000'), status, direction,
               is_test, count(*), sum(duration_ms), sum(cost_micros)
        FROM added GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (workspace_id, day, agent_id, status, direction, is_test) DO UPDATE
        SET calls = kept.calls + excluded.calls,
            duration_ms = kept.duration_ms + excluded.duration_ms,
            cost_micros = kept.cost_micros + excluded.cost_micros;
    ELSE
        INSERT INTO call_counts AS kept (workspace_id, day, agent_id, status, direction, is_test,
                                         calls, duration_ms, cost_micros)
        SELECT workspace_id, (started_at AT TIME ZONE 'UTC')::date,
               coalesce(agent_id, '00000000-0000-0000-0000-000000000000'), status, direction,
               is_test, sum(one), sum(one * duration_ms), sum(one * cost_micros)
        FROM (SELECT added.*, 1 AS one FROM added UNION ALL SELECT removed.*, -1 FROM removed)
            AS changed
        GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6
        ON CONFLICT (workspace_id, day, agent_id, status, direction, is_test) DO UPDATE
        SET calls = kept.calls + excluded.calls,
            duration_ms = kept.duration_ms + excluded.duration_ms,
            cost_micros = kept.cost_micros + excluded.cost_micros;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION uncount_calls() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE call_counts SET calls = call_counts.calls - gone.calls,
        duration_ms = call_counts.duration_ms - gone.duration_ms,
        cost_micros = call_counts.cost_micros - gone.cost_micros
    FROM (
        SELECT workspace_id, (started_at AT TIME ZONE 'UTC')::date AS day,
               coalesce(agent_id, '00000000-0000-0000-0000-000000000000') AS agent_id, status,
               direction, is_test, count(*) AS calls, sum(duration_ms) AS duration_ms,
               sum(cost_micros) AS cost_micros
        FROM removed GROUP BY 1, 2, 3, 4, 5, 6
    ) AS gone
    WHERE call_counts.workspace_id = gone.workspace_id AND call_counts.day = gone.day
      AND call_counts.agent_id = gone.agent_id AND call_counts.status = gone.status
      AND call_counts.direction = gone.direction AND call_counts.is_test = gone.is_test;
    RETURN NULL;
END $$;

-- An API key has its workspace's tier.
CREATE OR REPLACE FUNCTION bearer_of(token_hash bytea) RETURNS TABLE (
    kind text, id uuid, email text, name text, role text, scopes text[], family uuid,
    client uuid, client_workspace uuid, client_tier text, workspaces uuid[], roles text[],
    suspended uuid[], use_is_news boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    before text := coalesce(current_setting('voicecore.platform', true), '');
BEGIN
    PERFORM set_config('voicecore.platform', 'on', true);
    RETURN QUERY
        SELECT 'admin', admins.id, admins.email, admins.name, admins.role, tokens.scopes,
               tokens.family, NULL::uuid, NULL::uuid, NULL, '{}'::uuid[], '{}'::text[],
               '{}'::uuid[], false
        FROM tokens JOIN admins ON admins.id = tokens.admin_id AND admins.is_active
        WHERE tokens.hash = token_hash AND tokens.kind = 'access'
          AND tokens.revoked_at IS NULL AND tokens.expires_at > now()
        UNION ALL
        SELECT CASE WHEN tokens.client_id IS NULL THEN 'user' ELSE 'oauth' END,
               coalesce(users.id, oauth_clients.id), users.email, users.name, NULL, tokens.scopes,
               tokens.family, oauth_clients.id, oauth_clients.workspace_id,
               coalesce(oauth_clients.tier, tiers.rate_limit_tier),
               coalesce(mine.workspaces, '{}'), coalesce(mine.roles, '{}'),
               coalesce(mine.suspended, '{}'), false
        FROM tokens
        LEFT JOIN users ON users.id = tokens.user_id
        LEFT JOIN oauth_clients ON oauth_clients.id = tokens.client_id
        LEFT JOIN workspaces AS home ON home.id = oauth_clients.workspace_id
        LEFT JOIN tiers ON tiers.tier_name = home.subscription_tier
        LEFT JOIN LATERAL (
            SELECT array_agg(members.workspace_id) AS workspaces, array_agg(members.role) AS roles,
                   array_agg(members.workspace_id) FILTER (WHERE workspaces.status = 'suspended')
                       AS suspended
            FROM members JOIN workspaces
              ON workspaces.id = members.workspace_id AND workspaces.deleted_at IS NULL
            WHERE members.user_id = tokens.user_id
        ) AS mine ON true
        WHERE tokens.hash = token_hash AND tokens.kind = 'access' AND tokens.admin_id IS NULL
          AND tokens.revoked_at IS NULL AND tokens.expires_at > now()
          AND (tokens.user_id IS NULL OR users.status = 'active')
          AND (tokens.client_id IS NULL OR oauth_clients.revoked_at IS NULL)
          AND home.deleted_at IS NULL
        UNION ALL
        SELECT 'api_key', api_keys.id, NULL, api_keys.name, NULL, '{}'::text[], NULL, NULL, NULL,
               tiers.rate_limit_tier, ARRAY[api_keys.workspace_id], ARRAY[api_keys.role],
               CASE workspaces.status WHEN 'suspended' THEN ARRAY[workspaces.id] ELSE '{}' END,
               coalesce(api_keys.last_used_at < now() - interval '1 minute', true)
        FROM api_keys JOIN workspaces
          ON workspaces.id = api_keys.workspace_id AND workspaces.deleted_at IS NULL
        LEFT JOIN tiers ON tiers.tier_name = workspaces.subscription_tier
        WHERE api_keys.key_hash = token_hash AND api_keys.revoked_at IS NULL;
    PERFORM set_config('voicecore.platform', before, true);
END $$;
