CREATE TABLE admins (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    email text NOT NULL,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'support', 'finance', 'read-only')),
    password_hash text NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    last_login_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX admins_email ON admins (lower(email));

CREATE TABLE oauth_clients (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    client_id text NOT NULL UNIQUE,
    secret_hash bytea NOT NULL,
    name text NOT NULL,
    -- NULL: the platform's own, which sees every customer.
    workspace_id uuid REFERENCES workspaces ON DELETE CASCADE,
    scopes text[] NOT NULL,
    password_grant boolean NOT NULL DEFAULT false,
    -- NULL: that of its workspace's subscription.
    tier text CHECK (tier IN ('standard', 'premium', 'enterprise')),
    created_at timestamptz NOT NULL DEFAULT now(),
    rotated_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX ON oauth_clients (workspace_id);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    name text NOT NULL,
    prefix text NOT NULL,
    key_hash bytea NOT NULL UNIQUE,
    role text NOT NULL CHECK (role IN ('admin', 'manager', 'member')),
    created_by uuid REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX ON api_keys (workspace_id);

-- What is shown once and kept as SHA-256. A family is what one login brought about.
CREATE TABLE tokens (
    hash bytea PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('access', 'refresh', 'reset_password')),
    family uuid NOT NULL,
    admin_id uuid REFERENCES admins ON DELETE CASCADE,
    user_id uuid REFERENCES users ON DELETE CASCADE,
    client_id uuid REFERENCES oauth_clients ON DELETE CASCADE,
    scopes text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    revoked_at timestamptz,
    CHECK (num_nonnulls(admin_id, user_id, client_id) >= 1)
);
CREATE INDEX ON tokens (family);
CREATE INDEX ON tokens (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX ON tokens (admin_id) WHERE admin_id IS NOT NULL;
CREATE INDEX ON tokens (client_id) WHERE client_id IS NOT NULL;
CREATE INDEX ON tokens (expires_at);

-- Who has signed up and has not shown yet that the address is his. Many may claim one address: each
-- has a link of his own, and whoever follows his becomes the user.
CREATE TABLE signups (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    name text NOT NULL,
    password_hash text NOT NULL,
    verify_hash bytea NOT NULL UNIQUE,
    -- Of the tokens that are good from then on.
    access_hash bytea NOT NULL,
    refresh_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX ON signups (lower(email));
CREATE INDEX ON signups (expires_at);

CREATE TABLE idempotency_keys (
    principal text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    status smallint,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, key)
);
CREATE INDEX ON idempotency_keys (created_at);

CREATE TABLE audit_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor_kind text NOT NULL,
    actor_id uuid,
    actor_email text,
    workspace_id uuid,
    action text NOT NULL,
    resource_type text NOT NULL,
    resource_id text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}',
    remote text NOT NULL DEFAULT '',
    request_id text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON audit_log (at DESC, id DESC);
CREATE INDEX ON audit_log (actor_id, at DESC);
CREATE INDEX ON audit_log (workspace_id, at DESC);

ALTER TABLE oauth_clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE oauth_clients FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON oauth_clients USING (
    (SELECT sees_all()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])
);

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys USING (
    (SELECT sees_all()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])
);

ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON audit_log FOR SELECT USING (
    (SELECT sees_all()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])
);
-- Everything that is done is written down, whoever does it; nothing is changed afterwards.
CREATE POLICY written ON audit_log FOR INSERT WITH CHECK (true);

-- Who brings a token, and which workspaces are this person's: asked before anything is known of
-- the caller, so it sees everything, and answers only to who knows the token.
CREATE FUNCTION bearer_of(token_hash bytea) RETURNS TABLE (
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
        SELECT 'api_key', api_keys.id, NULL, api_keys.name, NULL, '{}'::text[], NULL, NULL, NULL, NULL,
               ARRAY[api_keys.workspace_id], ARRAY[api_keys.role],
               CASE workspaces.status WHEN 'suspended' THEN ARRAY[workspaces.id] ELSE '{}' END,
               coalesce(api_keys.last_used_at < now() - interval '1 minute', true)
        FROM api_keys JOIN workspaces
          ON workspaces.id = api_keys.workspace_id AND workspaces.deleted_at IS NULL
        WHERE api_keys.key_hash = token_hash AND api_keys.revoked_at IS NULL;
    PERFORM set_config('voicecore.platform', before, true);
END $$;

CREATE FUNCTION api_key_used(api_key_id uuid) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    before text := coalesce(current_setting('voicecore.platform', true), '');
BEGIN
    PERFORM set_config('voicecore.platform', 'on', true);
    UPDATE api_keys SET last_used_at = now() WHERE id = api_key_id;
    PERFORM set_config('voicecore.platform', before, true);
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE
    ON admins, oauth_clients, api_keys, tokens, signups, idempotency_keys TO voicecore_api;
GRANT SELECT, INSERT ON audit_log TO voicecore_api;
