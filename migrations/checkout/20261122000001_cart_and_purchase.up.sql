CREATE TABLE cart_item (
    user_id bigint NOT NULL,
    sku bigint NOT NULL,
    count integer NOT NULL,
    CONSTRAINT cart_item_pkey PRIMARY KEY (user_id, sku),
    CONSTRAINT cart_item_user_id_positive CHECK (user_id > 0),
    CONSTRAINT cart_item_sku_in_range CHECK (sku BETWEEN 1 AND 4294967295),
    CONSTRAINT cart_item_count_in_range CHECK (count BETWEEN 1 AND 65535)
);

COMMENT ON TABLE cart_item IS 'A line of a user''s cart. Changed only under the advisory lock of its user.';
COMMENT ON COLUMN cart_item.user_id IS 'Whose cart it is.';
COMMENT ON COLUMN cart_item.sku IS 'What is in it: a stock keeping unit, an unsigned 32-bit number.';
COMMENT ON COLUMN cart_item.count IS 'How many units of it.';

CREATE TABLE purchase (
    id uuid NOT NULL,
    user_id bigint NOT NULL,
    idempotency_key text,
    state text NOT NULL DEFAULT 'pending',
    order_id bigint,
    refusal jsonb,
    answered boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    resume_at timestamptz,
    CONSTRAINT purchase_pkey PRIMARY KEY (id),
    CONSTRAINT purchase_user_id_idempotency_key UNIQUE (user_id, idempotency_key),
    CONSTRAINT purchase_user_id_positive CHECK (user_id > 0),
    CONSTRAINT purchase_idempotency_key_length CHECK (octet_length(idempotency_key) BETWEEN 1 AND 128),
    CONSTRAINT purchase_order_id_positive CHECK (order_id > 0),
    CONSTRAINT purchase_attempts_not_negative CHECK (attempts >= 0),
    CONSTRAINT purchase_state_known CHECK (state IN ('pending', 'ordered', 'refused')),
    CONSTRAINT purchase_outcome_matches_state CHECK (
        (state = 'ordered') = (order_id IS NOT NULL)
        AND (state = 'refused') = (refusal IS NOT NULL)
    ),
    CONSTRAINT purchase_settled_or_to_be_resumed CHECK (
        (state = 'pending') = (settled_at IS NULL)
        AND (state = 'pending') = (resume_at IS NOT NULL)
        AND NOT (state = 'pending' AND answered)
    )
);

-- At most one purchase of a user is under way.
CREATE UNIQUE INDEX purchase_one_pending_per_user ON purchase (user_id) WHERE state = 'pending';
-- What the background step takes up next.
CREATE INDEX purchase_resume_at ON purchase (resume_at) WHERE state = 'pending';
-- The latest purchase that a user made without a key.
CREATE INDEX purchase_latest_without_key ON purchase (user_id, created_at DESC) WHERE idempotency_key IS NULL;

COMMENT ON TABLE purchase IS 'A snapshot of a cart on its way to an order, and what became of it. Its id is the idempotency key of the order in LOMS.';
COMMENT ON COLUMN purchase.id IS 'Names the purchase, also to LOMS.';
COMMENT ON COLUMN purchase.user_id IS 'Who buys.';
COMMENT ON COLUMN purchase.idempotency_key IS 'The caller''s name for the purchase, printable ASCII; NULL if it gave none.';
COMMENT ON COLUMN purchase.state IS 'pending: LOMS has yet to answer; ordered: it has become an order; refused: its lines are back in the cart.';
COMMENT ON COLUMN purchase.order_id IS 'The order in LOMS, once ordered.';
COMMENT ON COLUMN purchase.refusal IS 'Why LOMS refused it, once refused: {code, reason, message, metadata}.';
COMMENT ON COLUMN purchase.answered IS 'Whether a caller was told the outcome; false after the background step settled it alone.';
COMMENT ON COLUMN purchase.created_at IS 'When the lines left the cart.';
COMMENT ON COLUMN purchase.settled_at IS 'When the outcome was written down; NULL while pending.';
COMMENT ON COLUMN purchase.attempts IS 'How often the background step took it up.';
COMMENT ON COLUMN purchase.resume_at IS 'From when on the background step may take it up; NULL once settled.';

CREATE TABLE purchase_item (
    purchase_id uuid NOT NULL,
    sku bigint NOT NULL,
    count integer NOT NULL,
    CONSTRAINT purchase_item_pkey PRIMARY KEY (purchase_id, sku),
    CONSTRAINT purchase_item_purchase_id_fkey FOREIGN KEY (purchase_id) REFERENCES purchase (id) ON DELETE CASCADE,
    CONSTRAINT purchase_item_sku_in_range CHECK (sku BETWEEN 1 AND 4294967295),
    CONSTRAINT purchase_item_count_in_range CHECK (count BETWEEN 1 AND 65535)
);

COMMENT ON TABLE purchase_item IS 'A line of the snapshot. While its purchase is pending it is set aside: it is in no cart, and counts towards the limits of the user''s cart.';
COMMENT ON COLUMN purchase_item.purchase_id IS 'The purchase it belongs to.';
COMMENT ON COLUMN purchase_item.sku IS 'What is bought: a stock keeping unit, an unsigned 32-bit number.';
COMMENT ON COLUMN purchase_item.count IS 'How many units of it.';
