-- Vendors' and carriers' keys, and what agents' tools send: sealed, see control/auth/envelopes.py.
CREATE TABLE secrets (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- NULL: the platform's.
    workspace_id uuid REFERENCES workspaces ON DELETE CASCADE,
    name text NOT NULL CHECK (name ~ '^[A-Z][A-Z0-9_]{0,63}$'),
    key_id text NOT NULL,
    wrapped_key bytea NOT NULL,
    sealed bytea NOT NULL,
    updated_by text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX secrets_of_workspace ON secrets (workspace_id, name)
    WHERE workspace_id IS NOT NULL;
CREATE UNIQUE INDEX secrets_of_platform ON secrets (name) WHERE workspace_id IS NULL;

ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON secrets USING (
    (SELECT sees_all()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])
);

-- Another one whenever a workspace's secrets are others: agents are loaded with them.
CREATE FUNCTION secrets_revision(of_workspace uuid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(md5(string_agg(name || updated_at::text, ',' ORDER BY name)), '')
    FROM secrets WHERE workspace_id = of_workspace
$$;

GRANT SELECT, INSERT, UPDATE, DELETE ON secrets TO voicecore_api;
