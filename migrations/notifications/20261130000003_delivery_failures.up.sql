ALTER TABLE delivery ADD COLUMN failures integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT delivery_failures_check CHECK (failures >= 0);

COMMENT ON COLUMN delivery.failures IS 'How many attempts in a row Telegram did not answer, or not as itself: what the next pause depends on';
