CREATE TABLE product (
    sku bigint NOT NULL,
    name text,
    price bigint,
    told_at timestamptz NOT NULL DEFAULT '-infinity',
    asked integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT product_pkey PRIMARY KEY (sku),
    CONSTRAINT product_sku_in_range CHECK (sku BETWEEN 1 AND 4294967295),
    CONSTRAINT product_price_in_range CHECK (price BETWEEN 0 AND 4294967295),
    CONSTRAINT product_told_as_a_whole CHECK (
        (told_at = '-infinity') = (name IS NULL) AND (name IS NULL) = (price IS NULL)
    ),
    CONSTRAINT product_asked_not_negative CHECK (asked >= 0)
);

-- What shoppers ask for is asked again first, the most wanted before the others.
CREATE INDEX product_asked ON product (asked DESC, due_at) WHERE asked > 0;
-- Then what was told longest ago.
CREATE INDEX product_told_at ON product (told_at) WHERE asked = 0;

COMMENT ON TABLE product IS 'What ProductService has told of its products, for all replicas. A product that it does not know any more has no row.';
COMMENT ON COLUMN product.sku IS 'Which product: a stock keeping unit, an unsigned 32-bit number.';
COMMENT ON COLUMN product.name IS 'What it is called; NULL until it was told.';
COMMENT ON COLUMN product.price IS 'Of one unit, an unsigned 32-bit number; NULL until it was told.';
COMMENT ON COLUMN product.told_at IS 'When ProductService told it last; -infinity if it has only listed it so far.';
COMMENT ON COLUMN product.asked IS 'How often carts showed it since then.';
COMMENT ON COLUMN product.due_at IS 'From when on it may be asked again: when what was told is no longer new, or a replica that wanted to ask has not done so.';

CREATE TABLE product_turn (
    bound text NOT NULL,
    number integer NOT NULL,
    free_at timestamptz NOT NULL DEFAULT now(),
    holder uuid,
    CONSTRAINT product_turn_pkey PRIMARY KEY (bound, number),
    CONSTRAINT product_turn_bound_known CHECK (bound IN ('in_a_second', 'at_once')),
    CONSTRAINT product_turn_number_positive CHECK (number > 0)
);

COMMENT ON TABLE product_turn IS 'The calls that ProductService may get from all replicas: whoever calls it takes a row of each bound and is done with it later.';
COMMENT ON COLUMN product_turn.bound IS 'in_a_second: calls in any second; at_once: calls that run.';
COMMENT ON COLUMN product_turn.number IS 'Which of them, from 1. Numbers above the configured bound are not used.';
COMMENT ON COLUMN product_turn.free_at IS 'From when on it may be taken. What its holder never gives back is free by itself.';
COMMENT ON COLUMN product_turn.holder IS 'Who took it last, a name for one call; NULL if it was given back.';
