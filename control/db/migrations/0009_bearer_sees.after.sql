DROP FUNCTION bearer_of(bytea);
