-- no-transaction
-- The orders of a user, newest first, a page at a time. It is built while services write to the table, and so outside a
-- transaction: what is cut off leaves an index that nobody can use, which must be dropped before this is run again.
--
-- Every user is above 0. The condition is there so that only a statement that says so can use this index: a planner that
-- knows of one order of each user would look for idempotency keys in it, among all orders of their user.
CREATE INDEX CONCURRENTLY orders_of_user ON orders (user_id, created_at, id) WHERE user_id > 0;
