-- Calls that were promised a stream: so that a workspace has no more at a time than it may, whichever
-- process answers, a call counts from the carrier's question on. Once it has begun, its row in calls
-- counts; a stream that does not come is forgotten.
CREATE TABLE coming_calls (
    workspace_id uuid NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    asked_by text NOT NULL,  -- the carrier and its call: asking again takes no other place
    call_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, asked_by)
);
CREATE INDEX coming_calls_by_end ON coming_calls (workspace_id, expires_at);

ALTER TABLE coming_calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE coming_calls FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON coming_calls USING (
    (SELECT sees_all()) OR workspace_id = ANY ((SELECT seen_workspaces())::uuid[])
);
GRANT SELECT, INSERT, UPDATE, DELETE ON coming_calls TO voicecore_api;
