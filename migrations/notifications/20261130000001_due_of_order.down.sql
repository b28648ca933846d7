DROP INDEX delivery_due_of_order;
CREATE INDEX delivery_due_of_order ON delivery (order_id, message_id) WHERE state = 'due';

COMMENT ON INDEX delivery_due_of_order IS 'Whether an earlier message of an order is still to be sent';
