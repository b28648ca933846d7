//! The expected traces, as [`draw`](crate::tree::draw) shows them.

/// A purchase of one SKU, without a key.
pub const PURCHASE: &str = "\
checkout server cart.Cart/Purchase
  checkout internal batch change_carts
    checkout client transaction change_carts
      checkout client accounts
      checkout client change_carts
      checkout client commit
  checkout client loms.Loms/CreateOrder
    loms server loms.Loms/CreateOrder
      loms internal batch change_orders
        loms client transaction change_orders
          loms client lock_free_stock
          loms client find_orders
          loms client create_orders
          loms client commit
      loms producer send orders
        notifications consumer process orders
          notifications internal deliver message
            notifications client POST /bot{api_key}/sendMessage
      loms producer send orders
        notifications consumer process orders
          notifications internal deliver message
            notifications client POST /bot{api_key}/sendMessage
  checkout internal batch change_carts
    checkout client transaction change_carts
      checkout client accounts
      checkout client change_carts
      checkout client commit
";

/// The payment of an order.
pub const PAYMENT: &str = "\
loms server loms.Loms/OrderPayed
  loms internal batch change_orders
    loms client transaction change_orders
      loms client lock_orders
      loms client apply
      loms client commit
  loms producer send orders
    notifications consumer process orders
      notifications internal deliver message
        notifications client POST /bot{api_key}/sendMessage
";

/// The expiry of an order that nobody paid.
pub const EXPIRY: &str = "\
loms internal expiry
  loms client next_deadline
  loms client due_orders
  loms client transaction expire_orders
    loms client lock_orders
    loms client apply
    loms client commit
  loms internal expire order
    loms producer send orders
      notifications consumer process orders
        notifications internal deliver message
          notifications client POST /bot{api_key}/sendMessage
";

/// How the beginning of an expiry looks when another replica held the order at that moment, and how without that.
pub const HELD_ORDER: [&str; 2] = [
    "  loms client transaction expire_orders\n    loms client wait_for_orders\n    loms client wait_for_stock\n",
    "  loms client due_orders\n  loms client transaction expire_orders\n",
];

/// The end of a purchase whose call failed before it had an outcome.
pub const RESUMPTION: &str = "\
checkout internal resume_purchases
  checkout client next_due_purchase
  checkout client take_due_purchases
  checkout internal resume purchase
    checkout client loms.Loms/CreateOrder
      loms server loms.Loms/CreateOrder
        loms internal batch change_orders
          loms client transaction change_orders
            loms client lock_free_stock
            loms client find_orders
            loms client create_orders
            loms client commit
        loms producer send orders
          notifications consumer process orders
            notifications internal deliver message
              notifications client POST /bot{api_key}/sendMessage
        loms producer send orders
          notifications consumer process orders
            notifications internal deliver message
              notifications client POST /bot{api_key}/sendMessage
    checkout internal batch change_carts
      checkout client transaction change_carts
        checkout client accounts
        checkout client change_carts
        checkout client commit
";
