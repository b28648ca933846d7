-- Not by `state = 'due'` any more: only `delivery_due` must have what is due in the order of messages, or a planner that
-- takes the table for empty chooses this index, and sorts.
DROP INDEX delivery_due_of_order;
CREATE INDEX delivery_due_of_order ON delivery (order_id, message_id) WHERE settled_at IS NULL;

COMMENT ON INDEX delivery_due_of_order IS 'Whether an earlier message of an order is still to be sent';
