-- What people leave behind them without end has a bound.

-- Of an agent's versions the latest ones are kept.
GRANT DELETE ON agent_versions TO voicecore_api;

-- Of somebody's answers likewise: an older key says only that its request was done, and what it made.
ALTER TABLE idempotency_keys ADD COLUMN made text;
CREATE INDEX idempotency_keys_kept ON idempotency_keys (principal, created_at) WHERE body IS NOT NULL;
