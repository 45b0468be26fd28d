-- Whose rows a transaction sees, see control/db/database.py.
CREATE FUNCTION sees_all() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(current_setting('voicecore.platform', true), '') = 'on'
$$;

CREATE FUNCTION seen_workspaces() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(nullif(current_setting('voicecore.workspaces', true), ''), '{}')::uuid[]
$$;

CREATE FUNCTION this_person() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(current_setting('voicecore.person', true), '')::uuid
$$;

-- In policies these stand in a subquery of their own: so they are asked once a statement, and not
-- for each row.

CREATE TABLE settings (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    description text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tiers (
    tier_name text PRIMARY KEY CHECK (tier_name ~ '^[a-z][a-z0-9_-]{0,62}$'),
    display_name text NOT NULL,
    monthly_fee_micros bigint NOT NULL CHECK (monthly_fee_micros >= 0),
    included_minutes integer NOT NULL CHECK (included_minutes >= 0),
    price_per_minute_micros bigint NOT NULL CHECK (price_per_minute_micros >= 0),
    max_agents integer CHECK (max_agents >= 0),
    max_minutes integer CHECK (max_minutes >= 0),
    max_concurrent_calls integer CHECK (max_concurrent_calls >= 0),
    rate_limit_tier text NOT NULL DEFAULT 'standard'
        CHECK (rate_limit_tier IN ('standard', 'premium', 'enterprise')),
    features jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE workspaces (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint GENERATED ALWAYS AS IDENTITY (START WITH 10001) UNIQUE,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    industry text,
    email text,
    phone text,
    address jsonb NOT NULL DEFAULT '{}',
    timezone text NOT NULL DEFAULT 'UTC',
    language text NOT NULL DEFAULT 'en',
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'trial', 'suspended')),
    suspended_reason text,
    subscription_tier text NOT NULL REFERENCES tiers,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);
CREATE INDEX ON workspaces (lower(name)) WHERE deleted_at IS NULL;

CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint GENERATED ALWAYS AS IDENTITY (START WITH 1001) UNIQUE,
    email text NOT NULL,
    name text NOT NULL,
    first_name text NOT NULL DEFAULT '',
    last_name text NOT NULL DEFAULT '',
    password_hash text,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'suspended')),
    email_verified_at timestamptz,
    last_login_at timestamptz,
    -- The workspace that made this person, where he did not sign up himself.
    managed_by uuid REFERENCES workspaces ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

-- Sapien's user is a person in one customer: its integer id is the membership's.
CREATE TABLE members (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    number bigint GENERATED ALWAYS AS IDENTITY (START WITH 1001) UNIQUE,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'manager', 'member')),
    settings jsonb NOT NULL DEFAULT '{}',
    joined_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, user_id)
);
CREATE INDEX ON members (user_id);

CREATE TABLE invitations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    email text NOT NULL,
    role text NOT NULL CHECK (role IN ('admin', 'manager', 'member')),
    invited_by uuid REFERENCES users ON DELETE SET NULL,
    token_hash bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz
);
CREATE UNIQUE INDEX invitations_open ON invitations (workspace_id, lower(email))
    WHERE accepted_at IS NULL;

CREATE TABLE extensions (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 2001) PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    extension text NOT NULL CHECK (extension ~ '^[0-9]{2,10}$'),
    name text NOT NULL,
    type text NOT NULL CHECK (type IN ('user', 'queue', 'ivr', 'parking')),
    user_id uuid,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    caller_id text,
    voicemail_enabled boolean NOT NULL DEFAULT false,
    recording_enabled boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, extension),
    FOREIGN KEY (workspace_id, user_id) REFERENCES members
);
CREATE INDEX ON extensions (workspace_id, user_id);

-- ON DELETE SET NULL of one column is not in PostgreSQL 14.
CREATE FUNCTION leave_extensions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE extensions SET user_id = NULL
    WHERE workspace_id = OLD.workspace_id AND user_id = OLD.user_id;
    RETURN OLD;
END $$;
CREATE TRIGGER leave_extensions BEFORE DELETE ON members
    FOR EACH ROW EXECUTE FUNCTION leave_extensions();

ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY;
ALTER TABLE workspaces FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON workspaces USING (
    (SELECT sees_all()) OR id = ANY ((SELECT seen_workspaces())::uuid[])
);

ALTER TABLE members ENABLE ROW LEVEL SECURITY;
ALTER TABLE members FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON members USING (
    (SELECT sees_all()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])
    OR user_id = (SELECT this_person())
)
    WITH CHECK (
    (SELECT sees_all()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])
);

ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON users USING (
    (SELECT sees_all()) OR id = (SELECT this_person()) OR EXISTS (
        SELECT FROM members
        WHERE members.user_id = users.id AND members.workspace_id = ANY ((SELECT seen_workspaces())::uuid[])
    )
);

ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invitations USING (
    (SELECT sees_all()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])
);

ALTER TABLE extensions ENABLE ROW LEVEL SECURITY;
ALTER TABLE extensions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON extensions USING (
    (SELECT sees_all()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])
);

-- Functions that see everything say so for themselves alone. (`SET` in their heads would need a
-- superuser.)

-- A person whom a workspace makes: it sees him only when he is its member, which he is not yet.
CREATE FUNCTION make_user(
    email text, first_name text, last_name text, password_hash text, workspace uuid, at timestamptz
) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    made uuid;
    before text := coalesce(current_setting('voicecore.platform', true), '');
BEGIN
    PERFORM set_config('voicecore.platform', 'on', true);
    INSERT INTO users (email, name, first_name, last_name, password_hash, managed_by, created_at,
                       updated_at)
    VALUES ($1, $2 || ' ' || $3, $2, $3, $4, $5, $6, $6) RETURNING id INTO made;
    PERFORM set_config('voicecore.platform', before, true);
    RETURN made;
END $$;

-- Whether a person is this workspace's alone: made by it, and in no other.
CREATE FUNCTION is_managed_by(person uuid, workspace uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    managed boolean;
    before text := coalesce(current_setting('voicecore.platform', true), '');
BEGIN
    PERFORM set_config('voicecore.platform', 'on', true);
    managed := EXISTS (SELECT FROM users WHERE id = person AND managed_by = workspace)
        AND NOT EXISTS (
            SELECT FROM members WHERE user_id = person AND workspace_id <> workspace
        );
    PERFORM set_config('voicecore.platform', before, true);
    RETURN managed;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE
    ON settings, tiers, workspaces, users, members, invitations, extensions TO voicecore_api;

INSERT INTO tiers (
    tier_name, display_name, monthly_fee_micros, included_minutes, price_per_minute_micros,
    max_agents, max_minutes, max_concurrent_calls, rate_limit_tier, features
) VALUES
    ('free', 'Free', 0, 60, 0, 1, 60, 2, 'standard', '["recording"]'),
    ('starter', 'Starter', 49000000, 500, 120000, 3, 5000, 5, 'standard',
     '["recording", "transcription"]'),
    ('professional', 'Professional', 199000000, 2500, 100000, 10, 25000, 20, 'premium',
     '["recording", "transcription", "analytics", "integrations"]'),
    ('enterprise', 'Enterprise', 999000000, 15000, 80000, NULL, NULL, NULL, 'enterprise',
     '["recording", "transcription", "analytics", "integrations", "own_keys"]');

INSERT INTO settings (key, value, description) VALUES
    ('default_tier', '"free"', 'The tier of a new workspace.'),
    ('signup_enabled', 'true', 'Whether people may sign up by themselves.'),
    ('invitation_days', '7', 'How many days an invitation may be accepted.');
