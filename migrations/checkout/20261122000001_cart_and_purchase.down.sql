DROP TABLE purchase_item;
DROP TABLE purchase;
DROP TABLE cart_item;
