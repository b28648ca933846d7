CREATE TABLE stock (
    warehouse_id bigint NOT NULL,
    sku bigint NOT NULL,
    on_hand integer NOT NULL,
    reserved integer NOT NULL DEFAULT 0,
    -- By SKU first: every reader asks for SKUs.
    CONSTRAINT stock_pkey PRIMARY KEY (sku, warehouse_id),
    CONSTRAINT stock_warehouse_is_positive CHECK (warehouse_id > 0),
    CONSTRAINT stock_sku_is_valid CHECK (sku BETWEEN 1 AND 4294967295),
    CONSTRAINT stock_on_hand_is_bounded CHECK (on_hand BETWEEN 0 AND 1000000000),
    CONSTRAINT stock_never_oversold CHECK (0 <= reserved AND reserved <= on_hand)
);

COMMENT ON TABLE stock IS 'How many units of a SKU a warehouse holds; free are on_hand - reserved.';
COMMENT ON COLUMN stock.warehouse_id IS 'The warehouse.';
COMMENT ON COLUMN stock.sku IS 'The stock keeping unit.';
COMMENT ON COLUMN stock.on_hand IS 'Units in the warehouse. An import sets it, a paid order lowers it.';
COMMENT ON COLUMN stock.reserved IS
    'Units promised to orders that await payment: the sum of their rows in reservation, kept here so that a check '
    'can forbid overselling.';

CREATE TABLE reservation (
    order_id bigint NOT NULL,
    warehouse_id bigint NOT NULL,
    sku bigint NOT NULL,
    count integer NOT NULL,
    CONSTRAINT reservation_pkey PRIMARY KEY (order_id, sku, warehouse_id),
    CONSTRAINT reservation_item FOREIGN KEY (order_id, sku) REFERENCES order_item (order_id, sku),
    CONSTRAINT reservation_stock FOREIGN KEY (sku, warehouse_id) REFERENCES stock (sku, warehouse_id),
    CONSTRAINT reservation_count_is_positive CHECK (count > 0)
);

COMMENT ON TABLE reservation IS
    'The units that an order which awaits payment holds; its rows go when the order is paid or cancelled.';
COMMENT ON COLUMN reservation.order_id IS 'The order.';
COMMENT ON COLUMN reservation.warehouse_id IS 'The warehouse that holds the units.';
COMMENT ON COLUMN reservation.sku IS 'The stock keeping unit.';
COMMENT ON COLUMN reservation.count IS 'How many units.';
