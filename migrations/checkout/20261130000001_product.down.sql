DROP TABLE product_turn;
DROP TABLE product;
