DROP INDEX orders_of_user;
