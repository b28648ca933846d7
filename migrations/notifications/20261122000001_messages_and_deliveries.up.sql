CREATE TABLE message (
    id bigint GENERATED ALWAYS AS IDENTITY,
    event_id text NOT NULL,
    user_id bigint NOT NULL,
    order_id bigint NOT NULL,
    status text NOT NULL,
    text text NOT NULL,
    occurred_at timestamptz NOT NULL,
    traceparent text,
    received_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT message_pkey PRIMARY KEY (id),
    CONSTRAINT message_event_id_key UNIQUE (event_id),
    CONSTRAINT message_user_id_check CHECK (user_id > 0),
    CONSTRAINT message_order_id_check CHECK (order_id > 0),
    CONSTRAINT message_status_check CHECK (status <> '')
);

COMMENT ON TABLE message IS 'What a user was told about an order: one row for each event, however often it arrives';
COMMENT ON COLUMN message.id IS 'Number in the order of arrival; the messages of one order are in the order of its statuses';
COMMENT ON COLUMN message.event_id IS 'EventID of the event, or topic/partition/offset where it has none';
COMMENT ON COLUMN message.user_id IS 'Whom the message is for';
COMMENT ON COLUMN message.order_id IS 'The order it is about, in LOMS';
COMMENT ON COLUMN message.status IS 'The status that the order took, as the event spells it';
COMMENT ON COLUMN message.text IS 'What the user is told';
COMMENT ON COLUMN message.occurred_at IS 'When the order took the status: OccurredAt of the event, else the time the broker has for it';
COMMENT ON COLUMN message.traceparent IS 'W3C trace context in which the event was read; the delivery continues it';
COMMENT ON COLUMN message.received_at IS 'When the event was stored here';

CREATE INDEX message_history ON message (user_id, occurred_at, id);

COMMENT ON INDEX message_history IS 'The history of a user, a page at a time';

CREATE TABLE delivery (
    message_id bigint NOT NULL,
    order_id bigint NOT NULL,
    state text NOT NULL DEFAULT 'due',
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    last_error text,
    settled_at timestamptz,
    CONSTRAINT delivery_pkey PRIMARY KEY (message_id),
    CONSTRAINT delivery_message_id_fkey FOREIGN KEY (message_id) REFERENCES message (id) ON DELETE CASCADE,
    CONSTRAINT delivery_state_check CHECK (state IN ('due', 'sent', 'dead')),
    CONSTRAINT delivery_attempts_check CHECK (attempts >= 0),
    CONSTRAINT delivery_settled_at_check CHECK ((state = 'due') = (settled_at IS NULL)),
    CONSTRAINT delivery_dead_check CHECK (state <> 'dead' OR last_error IS NOT NULL)
);

COMMENT ON TABLE delivery IS 'Which messages go to Telegram and how far they got; none for messages that arrived while Telegram was not configured';
COMMENT ON COLUMN delivery.message_id IS 'The message to send';
COMMENT ON COLUMN delivery.order_id IS 'The order it is about: a message waits until no earlier one of its order is due';
COMMENT ON COLUMN delivery.state IS 'due: still to be sent; sent: Telegram took it; dead: Telegram refused it for good';
COMMENT ON COLUMN delivery.attempts IS 'How often it was claimed; whoever made the last claim settles it';
COMMENT ON COLUMN delivery.next_attempt_at IS 'Not claimed before this moment: the end of the running claim, or of the pause after a failure';
COMMENT ON COLUMN delivery.last_error IS 'Why the last attempt failed';
COMMENT ON COLUMN delivery.settled_at IS 'When it was sent or refused for good';

CREATE INDEX delivery_due ON delivery (message_id) WHERE state = 'due';
CREATE INDEX delivery_due_of_order ON delivery (order_id, message_id) WHERE state = 'due';
CREATE INDEX delivery_dead ON delivery (message_id) WHERE state = 'dead';

COMMENT ON INDEX delivery_due IS 'What is still to be sent, oldest first';
COMMENT ON INDEX delivery_due_of_order IS 'Whether an earlier message of an order is still to be sent';
COMMENT ON INDEX delivery_dead IS 'What was refused for good, for operators and their gauge';
