CREATE TABLE telegram_pace (
    chat text NOT NULL,
    full_at timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT telegram_pace_pkey PRIMARY KEY (chat)
);

COMMENT ON TABLE telegram_pace IS 'How much a chat may still get, for all replicas: whoever sends to it holds its row while deciding what';
COMMENT ON COLUMN telegram_pace.chat IS 'The chat as the configuration names it';
COMMENT ON COLUMN telegram_pace.full_at IS 'When it may get as much at once as ever; each request moves it on';
