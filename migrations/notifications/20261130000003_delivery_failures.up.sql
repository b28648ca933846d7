ALTER TABLE delivery ADD COLUMN failures integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT delivery_failures_check CHECK (failures >= 0);

COMMENT ON COLUMN delivery.failures IS 'How many attempts Telegram did not answer, or not as itself, since it became due: what the next pause depends on';
