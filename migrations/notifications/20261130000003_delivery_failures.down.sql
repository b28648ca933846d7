ALTER TABLE delivery DROP COLUMN failures;
