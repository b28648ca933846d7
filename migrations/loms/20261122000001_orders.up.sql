CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY,
    user_id bigint NOT NULL,
    status text NOT NULL DEFAULT 'new',
    idempotency_key text,
    created_at timestamptz NOT NULL,
    pay_before timestamptz NOT NULL,
    failed_sku bigint,
    failed_requested integer,
    failed_available bigint,
    CONSTRAINT orders_pkey PRIMARY KEY (id),
    CONSTRAINT orders_idempotency_key UNIQUE (user_id, idempotency_key),
    CONSTRAINT orders_user_is_positive CHECK (user_id > 0),
    CONSTRAINT orders_status_is_known
        CHECK (status IN ('new', 'awaiting payment', 'failed', 'paid', 'cancelled')),
    CONSTRAINT orders_idempotency_key_length CHECK (length(idempotency_key) BETWEEN 1 AND 128),
    CONSTRAINT orders_deadline_follows_creation CHECK (pay_before > created_at),
    CONSTRAINT orders_refusal_exactly_when_failed
        CHECK (num_nonnulls(failed_sku, failed_requested, failed_available)
               = CASE WHEN status = 'failed' THEN 3 ELSE 0 END),
    CONSTRAINT orders_refusal_is_a_shortage CHECK (failed_available < failed_requested)
);

-- What expiry looks for: the orders that wait, by their deadline.
CREATE INDEX orders_awaiting_payment ON orders (pay_before) WHERE status = 'awaiting payment';

COMMENT ON TABLE orders IS 'An order of a customer, from its creation on; orders are never deleted.';
COMMENT ON COLUMN orders.id IS 'The number that everybody knows the order by.';
COMMENT ON COLUMN orders.user_id IS 'The customer.';
COMMENT ON COLUMN orders.status IS
    'new -> awaiting payment | failed; awaiting payment -> paid | cancelled; the rest are final. '
    'No committed order is new: it takes its next status in the transaction that creates it.';
COMMENT ON COLUMN orders.idempotency_key IS
    'The caller''s name for the order, unique for its user: a second call with it gets this order and its outcome. '
    'Null: the caller gave none.';
COMMENT ON COLUMN orders.created_at IS 'When it was created, by the clock of this database.';
COMMENT ON COLUMN orders.pay_before IS
    'The moment from which it cannot be paid any more and, while it awaits payment, is cancelled.';
COMMENT ON COLUMN orders.failed_sku IS 'Of a failed order: the lowest SKU that could not be reserved in full.';
COMMENT ON COLUMN orders.failed_requested IS 'Of a failed order: how many units of failed_sku it asked for.';
COMMENT ON COLUMN orders.failed_available IS 'Of a failed order: how many units of failed_sku were free.';

CREATE TABLE order_item (
    order_id bigint NOT NULL,
    sku bigint NOT NULL,
    count integer NOT NULL,
    CONSTRAINT order_item_pkey PRIMARY KEY (order_id, sku),
    CONSTRAINT order_item_order FOREIGN KEY (order_id) REFERENCES orders (id),
    CONSTRAINT order_item_sku_is_valid CHECK (sku BETWEEN 1 AND 4294967295),
    CONSTRAINT order_item_count_is_valid CHECK (count BETWEEN 1 AND 65535)
);

COMMENT ON TABLE order_item IS 'What an order asks for, a row a SKU; never changed.';
COMMENT ON COLUMN order_item.order_id IS 'The order.';
COMMENT ON COLUMN order_item.sku IS 'The stock keeping unit.';
COMMENT ON COLUMN order_item.count IS 'How many units of it.';
