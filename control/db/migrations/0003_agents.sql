CREATE TABLE templates (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug text UNIQUE,
    name text NOT NULL,
    industry text NOT NULL,
    description text NOT NULL DEFAULT '',
    default_config jsonb NOT NULL,
    is_public boolean NOT NULL DEFAULT true,
    -- By an admin: what ships does not replace it any more.
    is_edited boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);

CREATE TABLE agents (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    status text NOT NULL DEFAULT 'draft' CHECK (status IN ('draft', 'live', 'paused')),
    template_id uuid REFERENCES templates ON DELETE SET NULL,
    version integer NOT NULL DEFAULT 1,
    voice_provider text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, id)
);
CREATE INDEX ON agents (template_id);

-- Each change is a new version, which no later change touches: calls in progress have theirs.
CREATE TABLE agent_versions (
    workspace_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    config jsonb NOT NULL,
    changed_by text NOT NULL DEFAULT '',
    note text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (agent_id, version),
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE
);

CREATE TABLE phone_numbers (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    phone_number text NOT NULL UNIQUE CHECK (phone_number ~ '^\+[1-9][0-9]{6,14}$'),
    friendly_name text NOT NULL DEFAULT '',
    carrier text CHECK (carrier IN ('twilio', 'telnyx')),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    agent_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id)
);
CREATE FUNCTION leave_numbers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE phone_numbers SET agent_id = NULL
    WHERE workspace_id = OLD.workspace_id AND agent_id = OLD.id;
    RETURN OLD;
END $$;
CREATE TRIGGER leave_numbers BEFORE DELETE ON agents
    FOR EACH ROW EXECUTE FUNCTION leave_numbers();
CREATE INDEX ON phone_numbers (workspace_id);
CREATE INDEX ON phone_numbers (agent_id);

CREATE TABLE audio_files (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 5001) PRIMARY KEY,
    uuid uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    name text NOT NULL,
    type text NOT NULL CHECK (type IN ('prompt', 'moh', 'greeting')),
    format text NOT NULL CHECK (format IN ('wav', 'mp3')),
    duration_ms bigint NOT NULL,
    size_bytes bigint NOT NULL,
    status text NOT NULL DEFAULT 'processing'
        CHECK (status IN ('processing', 'available', 'failed')),
    failure text,
    -- Its objects' names begin with this.
    object_key text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    -- Who normalises it has it until then.
    claimed_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON audio_files (workspace_id, id);
CREATE INDEX ON audio_files (id) WHERE status = 'processing';

DO $$ DECLARE tenant_table text; BEGIN
    FOREACH tenant_table IN ARRAY
        ARRAY['agents', 'agent_versions', 'phone_numbers', 'audio_files']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY tenant ON %I USING (
            (SELECT sees_all()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])
        )', tenant_table);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE
    ON templates, agents, phone_numbers, audio_files TO voicecore_api;
GRANT SELECT, INSERT ON agent_versions TO voicecore_api;
