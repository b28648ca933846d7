DROP TABLE delivery;
DROP TABLE message;
