-- A membership of a workspace that is deleted is none.
CREATE OR REPLACE FUNCTION is_managed_by(person uuid, workspace uuid) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    managed boolean;
    before text := coalesce(current_setting('voicecore.platform', true), '');
BEGIN
    PERFORM set_config('voicecore.platform', 'on', true);
    managed := EXISTS (SELECT FROM users WHERE id = person AND managed_by = workspace)
        AND NOT EXISTS (
            SELECT FROM members JOIN workspaces ON workspaces.id = members.workspace_id
            WHERE user_id = person AND workspace_id <> workspace AND deleted_at IS NULL
        );
    PERFORM set_config('voicecore.platform', before, true);
    RETURN managed;
END $$;
