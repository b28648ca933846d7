DROP TABLE order_item;
DROP TABLE orders;
