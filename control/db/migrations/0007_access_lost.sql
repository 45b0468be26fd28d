-- What somebody has made, or was shown, goes with him.

-- Who was shown the secret last, where it was a person: whoever knows it acts for the workspace.
ALTER TABLE oauth_clients ADD COLUMN shown_to uuid REFERENCES users ON DELETE SET NULL;
CREATE INDEX ON oauth_clients (shown_to) WHERE shown_to IS NOT NULL;
CREATE INDEX ON api_keys (created_by) WHERE created_by IS NOT NULL;
CREATE INDEX ON invitations (invited_by) WHERE invited_by IS NOT NULL;

-- Of clients that are there the audit log knows it.
SELECT set_config('voicecore.platform', 'on', true);
UPDATE oauth_clients SET shown_to = (
    SELECT users.id FROM (
        SELECT actor_kind, actor_id FROM audit_log
        WHERE resource_type = 'oauth_client' AND resource_id = oauth_clients.id::text
          AND action IN ('oauth_client.created', 'oauth_client.rotated')
        ORDER BY audit_log.id DESC LIMIT 1
    ) AS last JOIN users ON last.actor_kind = 'user' AND users.id = last.actor_id
)
WHERE workspace_id IS NOT NULL AND revoked_at IS NULL;
SELECT set_config('voicecore.platform', '', true);

-- The workspaces that somebody owns, those too that were made since he was let in.
CREATE FUNCTION owned_by(person uuid) RETURNS TABLE (id uuid, status text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    before text := coalesce(current_setting('voicecore.platform', true), '');
BEGIN
    PERFORM set_config('voicecore.platform', 'on', true);
    RETURN QUERY
        SELECT workspaces.id, workspaces.status FROM workspaces JOIN members
          ON members.workspace_id = workspaces.id AND members.role = 'owner'
        WHERE members.user_id = person AND workspaces.deleted_at IS NULL;
    PERFORM set_config('voicecore.platform', before, true);
END $$;
