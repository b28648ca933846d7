ALTER TABLE orders ADD COLUMN traceparent text;

COMMENT ON COLUMN orders.traceparent IS
    'The W3C trace context of the order''s creation, where it was traced: its expiry is linked to it.';
