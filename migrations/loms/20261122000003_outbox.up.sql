CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY,
    event_id uuid NOT NULL DEFAULT gen_random_uuid(),
    order_id bigint NOT NULL,
    user_id bigint NOT NULL,
    status text NOT NULL,
    message text NOT NULL,
    traceparent text,
    occurred_at timestamptz NOT NULL,
    CONSTRAINT outbox_pkey PRIMARY KEY (id),
    CONSTRAINT outbox_order FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT outbox_status_is_known
        CHECK (status IN ('new', 'awaiting payment', 'failed', 'paid', 'cancelled'))
);

-- What the relay looks for: the oldest event of each order.
CREATE INDEX outbox_by_order ON outbox (order_id, id);

COMMENT ON TABLE outbox IS
    'Events on their way to the topic orders: written in the transaction that changes the status, deleted when the '
    'broker has acknowledged them.';
COMMENT ON COLUMN outbox.id IS
    'Of one order, the order of its events: a lock on the order''s row serialises the transactions that write them.';
COMMENT ON COLUMN outbox.event_id IS 'The event''s identity for readers, the same however often it is published.';
COMMENT ON COLUMN outbox.order_id IS 'The order whose status changed.';
COMMENT ON COLUMN outbox.user_id IS 'The order''s customer.';
COMMENT ON COLUMN outbox.status IS 'The status that the order took.';
COMMENT ON COLUMN outbox.message IS 'The same in a sentence for the customer.';
COMMENT ON COLUMN outbox.traceparent IS 'The W3C trace context of the change, where it was traced.';
COMMENT ON COLUMN outbox.occurred_at IS 'When the order took the status, by the clock of this database.';
