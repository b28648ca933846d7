ALTER TABLE purchase DROP COLUMN traceparent;
