CREATE TABLE calls (
    id uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY (START WITH 8001) UNIQUE,
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    agent_id uuid,
    agent_version integer,
    agent_name text NOT NULL DEFAULT '',
    carrier text NOT NULL,
    carrier_call_id text NOT NULL DEFAULT '',
    direction text NOT NULL CHECK (direction IN ('inbound', 'outbound', 'internal')),
    caller_number text NOT NULL DEFAULT '',
    called_number text NOT NULL DEFAULT '',
    status text NOT NULL CHECK (status IN ('in_progress', 'completed', 'failed')),
    end_reason text,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    duration_ms bigint NOT NULL DEFAULT 0,
    cost_micros bigint NOT NULL DEFAULT 0,
    server uuid,
    files text NOT NULL DEFAULT '',
    has_recording boolean NOT NULL DEFAULT false,
    latency jsonb NOT NULL DEFAULT '{}',
    summary text
);
CREATE INDEX calls_by_time ON calls (workspace_id, started_at DESC, number DESC);
CREATE INDEX calls_by_agent ON calls (workspace_id, agent_id, started_at DESC, number DESC);
CREATE INDEX calls_by_status ON calls (workspace_id, status, started_at DESC, number DESC);
CREATE INDEX calls_of_all ON calls (started_at DESC, number DESC);
CREATE INDEX calls_live ON calls (workspace_id, started_at) WHERE status = 'in_progress';

-- Neither has a reference to calls: what a call leaves may come in any order, and it comes again
-- when a process that had it on disk comes back.
CREATE TABLE call_events (
    workspace_id uuid NOT NULL,
    call_id uuid NOT NULL,
    sequence integer NOT NULL,
    type text NOT NULL,
    at_ms bigint NOT NULL,
    data jsonb NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (call_id, sequence)
);

CREATE TABLE call_turns (
    workspace_id uuid NOT NULL,
    call_id uuid NOT NULL,
    sequence integer NOT NULL,
    speaker text NOT NULL CHECK (speaker IN ('caller', 'agent')),
    start_ms bigint NOT NULL,
    end_ms bigint NOT NULL,
    text text NOT NULL,
    words jsonb NOT NULL,
    interrupted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (call_id, sequence)
);

-- How many calls there were each day (of UTC): what a list says is its total is not counted anew, and
-- analytics need no more. The triggers below keep it.
CREATE TABLE call_counts (
    workspace_id uuid NOT NULL,
    day date NOT NULL,
    agent_id uuid NOT NULL,  -- all zeros: nobody
    status text NOT NULL,
    direction text NOT NULL,
    calls bigint NOT NULL,
    duration_ms bigint NOT NULL,
    cost_micros bigint NOT NULL,
    PRIMARY KEY (workspace_id, day, agent_id, status, direction)
);

CREATE FUNCTION count_calls() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO call_counts AS kept
        SELECT workspace_id, (started_at AT TIME ZONE 'UTC')::date,
               coalesce(agent_id, '00000000-0000-0000-0000-000000000000'), status, direction,
               count(*), sum(duration_ms), sum(cost_micros)
        FROM added GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (workspace_id, day, agent_id, status, direction) DO UPDATE
        SET calls = kept.calls + excluded.calls,
            duration_ms = kept.duration_ms + excluded.duration_ms,
            cost_micros = kept.cost_micros + excluded.cost_micros;
    ELSE
        INSERT INTO call_counts AS kept
        SELECT workspace_id, (started_at AT TIME ZONE 'UTC')::date,
               coalesce(agent_id, '00000000-0000-0000-0000-000000000000'), status, direction,
               sum(one), sum(one * duration_ms), sum(one * cost_micros)
        FROM (SELECT added.*, 1 AS one FROM added UNION ALL SELECT removed.*, -1 FROM removed)
            AS changed
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        ON CONFLICT (workspace_id, day, agent_id, status, direction) DO UPDATE
        SET calls = kept.calls + excluded.calls,
            duration_ms = kept.duration_ms + excluded.duration_ms,
            cost_micros = kept.cost_micros + excluded.cost_micros;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION uncount_calls() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE call_counts SET calls = call_counts.calls - gone.calls,
        duration_ms = call_counts.duration_ms - gone.duration_ms,
        cost_micros = call_counts.cost_micros - gone.cost_micros
    FROM (
        SELECT workspace_id, (started_at AT TIME ZONE 'UTC')::date AS day,
               coalesce(agent_id, '00000000-0000-0000-0000-000000000000') AS agent_id, status,
               direction, count(*) AS calls, sum(duration_ms) AS duration_ms,
               sum(cost_micros) AS cost_micros
        FROM removed GROUP BY 1, 2, 3, 4, 5
    ) AS gone
    WHERE call_counts.workspace_id = gone.workspace_id AND call_counts.day = gone.day
      AND call_counts.agent_id = gone.agent_id AND call_counts.status = gone.status
      AND call_counts.direction = gone.direction;
    RETURN NULL;
END $$;

CREATE TRIGGER count_added AFTER INSERT ON calls
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_calls();
CREATE TRIGGER count_changed AFTER UPDATE ON calls
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION count_calls();
CREATE TRIGGER count_removed AFTER DELETE ON calls
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION uncount_calls();

DO $$ DECLARE tenant_table text; BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['calls', 'call_events', 'call_turns', 'call_counts']
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('CREATE POLICY tenant ON %I USING (
            (SELECT sees_all()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])
        )', tenant_table);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON calls, call_events, call_turns, call_counts TO voicecore_api;
