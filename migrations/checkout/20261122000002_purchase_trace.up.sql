ALTER TABLE purchase ADD COLUMN traceparent text;

COMMENT ON COLUMN purchase.traceparent IS 'The W3C trace context of the call that began the purchase, where it was traced: the background step that takes it up is linked to it.';
