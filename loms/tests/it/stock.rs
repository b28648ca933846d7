//! `loms stock import` and `loms stock list`, and `loms migrate` before them.

use std::{
    path::PathBuf,
    process::Output,
    sync::atomic::{AtomicBool, Ordering},
};

use futures::future::join_all;
use proptest::prelude::*;
use stack::testing::eventually;
use tempfile::TempDir;

use crate::{
    config::run,
    world::{World, create, lock, order, user},
};

/// A shop whose stock is kept from the command line.
struct Shop {
    world: World,
    dir: TempDir,
    config: PathBuf,
}

impl Shop {
    async fn with_stock(stock: &[(i64, i64, i32)]) -> Self {
        let world = World::with_stock(stock).await;
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.yaml");
        std::fs::write(&config, world.config_file("10m", &["localhost:1".into()])).unwrap();
        Self { world, dir, config }
    }

    async fn import(&self, text: impl AsRef<[u8]>) -> Output {
        self.import_with(&[], text).await
    }

    async fn import_with(&self, options: &[&str], text: impl AsRef<[u8]>) -> Output {
        let file = self.dir.path().join("stock.csv");
        std::fs::write(&file, text).unwrap();
        run(&[&["stock", "import", file.to_str().unwrap()], options].concat(), Some(&self.config)).await
    }

    /// The faults of a file that is refused.
    async fn faults(&self, text: impl AsRef<[u8]>) -> Vec<String> {
        let output = self.import(text).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        let (first, faults) = text.trim_end().split_once('\n').unwrap();
        assert!(first.ends_with("stock.csv: nothing is imported"), "{first}");
        faults.lines().map(|line| line.trim().to_owned()).collect()
    }

    async fn list(&self) -> String {
        let output = run(&["stock", "list"], Some(&self.config)).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_import_costs_no_buyer_a_call() {
    const LINES: u32 = 60_000;
    let file = |count: u32| -> String {
        std::iter::once("warehouse_id,sku,count\n".to_owned())
            .chain((1..=LINES).map(|sku| format!("1,{sku},{count}\n")))
            .collect()
    };
    let shop = Shop::with_stock(&[]).await;
    assert!(shop.import(file(1000)).await.status.success());
    let loms = shop.world.loms().await;
    let is_over = AtomicBool::new(false);
    let buying = (0..16u32).map(|buyer| {
        let (client, is_over) = (loms.client(), &is_over);
        async move {
            let mut bought = 0;
            while !is_over.load(Ordering::Relaxed) {
                // Near each other, so that they also meet a slice that is set.
                let sku = 1 + (buyer * 3_571 + bought * 7) % LINES;
                create(&client, order(user(), &[(sku, 1)])).await.expect("the import holds nobody up");
                bought += 1;
            }
            bought
        }
    });
    let importing = async {
        let output = shop.import(file(2000)).await;
        is_over.store(true, Ordering::Relaxed);
        output
    };
    let (output, bought) = tokio::join!(importing, join_all(buying));
    assert!(output.status.success(), "{output:?}");
    assert!(bought.iter().all(|bought| *bought > 0), "{bought:?}");
    assert_eq!(shop.world.number("SELECT count(*) FROM stock WHERE on_hand <> 2000").await, 0);
}

#[tokio::test]
async fn an_import_sets_what_is_on_hand_and_leaves_the_rest() {
    let shop = Shop::with_stock(&[(1, 7, 5), (1, 8, 5)]).await;
    let output = shop.import("warehouse_id,sku,count\r\n1,7,0\r\n2, 7 ,1000000000\r\n\r\n\"3\",4294967295,1").await;
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().ends_with("stock.csv: 3 lines imported\n"));
    assert_eq!(
        shop.list().await,
        "warehouse_id,sku,on_hand,reserved,free\n1,7,0,0,0\n1,8,5,0,5\n2,7,1000000000,0,1000000000\n\
         3,4294967295,1,0,1\n"
    );
}

#[tokio::test]
async fn a_first_import_leaves_stock_alone_that_is_there_already() {
    let shop = Shop::with_stock(&[]).await;
    let import = async |text: &str| {
        let output = shop.import_with(&["--first"], text).await;
        assert!(output.status.success(), "{output:?}");
    };
    import("warehouse_id,sku,count\n1,7,5\n").await;
    import("warehouse_id,sku,count\n1,7,9\n1,8,9\n").await;
    assert_eq!(shop.list().await, "warehouse_id,sku,on_hand,reserved,free\n1,7,5,0,5\n");
}

#[tokio::test]
async fn reserved_units_stay_reserved_through_an_import() {
    let shop = Shop::with_stock(&[(1, 7, 5)]).await;
    let loms = shop.world.loms().await;
    create(&loms.client(), order(user(), &[(7, 4)])).await.unwrap();
    assert!(shop.import("warehouse_id,sku,count\n1,7,4\n").await.status.success());
    assert_eq!(shop.list().await, "warehouse_id,sku,on_hand,reserved,free\n1,7,4,4,0\n");
    assert_eq!(shop.faults("warehouse_id,sku,count\n1,7,3\n").await, ["line 2: count is 3, but 4 are reserved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_waits_for_nobody_but_sets_what_others_hold_when_they_are_done() {
    let shop = Shop::with_stock(&[(1, 7, 5), (1, 8, 5), (1, 9, 5)]).await;
    let mut holder = shop.world.database.pool.begin().await.unwrap();
    lock(&mut holder, "SELECT FROM stock WHERE sku IN (7, 8) FOR UPDATE").await;
    // What the file does not change need not be free.
    assert!(shop.import("warehouse_id,sku,count\n1,7,5\n1,9,6\n").await.status.success());
    let importing = shop.import("warehouse_id,sku,count\n1,8,6\n1,9,7\n");
    let releasing = async {
        eventually("the free line is set", async || (shop.world.stock_of(9).await == (7, 0)).then_some(())).await;
        assert_eq!(shop.world.stock_of(8).await, (5, 0));
        holder.rollback().await.unwrap();
    };
    let (output, ()) = tokio::join!(importing, releasing);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(shop.world.stock_of(8).await, (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_that_is_reserved_while_a_file_is_imported_is_not_set_and_told_with_its_line() {
    let shop = Shop::with_stock(&[(1, 7, 5), (1, 8, 5)]).await;
    shop.world.database.leave_unchecked();
    let mut buyer = shop.world.database.pool.begin().await.unwrap();
    lock(&mut buyer, "UPDATE stock SET reserved = 4 WHERE sku = 8").await;
    let importing = shop.import("warehouse_id,sku,count\n1,8,3\n1,7,3\n");
    let buying = async {
        eventually("the free line is set", async || (shop.world.stock_of(7).await == (3, 0)).then_some(())).await;
        buyer.commit().await.unwrap();
    };
    let (output, ()) = tokio::join!(importing, buying);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    let expected = "stock.csv: imported 1 of 2 lines, but not these\n  line 2: count is 3, but 4 are reserved\n";
    assert!(error.ends_with(expected), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_the_first_import_all_at_once_and_a_later_one_slice_by_slice() {
    let lines = |from: i64, count: i64| (from..from + 1500).map(move |sku| format!("1,{sku},{count}\n"));
    let text =
        |lines: &mut dyn Iterator<Item = String>| format!("warehouse_id,sku,count\n{}", lines.collect::<String>());
    let shop = Shop::with_stock(&[]).await;
    // Somebody who sets the last line holds up its import.
    let mut holder = shop.world.database.pool.begin().await.unwrap();
    lock(&mut holder, "INSERT INTO stock (warehouse_id, sku, on_hand) VALUES (1, 1500, 1)").await;
    let refused = shop.import_with(&["--first"], text(&mut lines(1, 5))).await;
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("stock.csv: nothing is imported: others held a lock for too long"), "{error}");
    assert_eq!(shop.world.number("SELECT count(*) FROM stock").await, 0);

    let refused = shop.import(text(&mut lines(1, 5))).await;
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("stock.csv: imported 1000 of 1500 lines; import it again for the rest: "), "{error}");
    assert_eq!(shop.world.number("SELECT count(*) FROM stock").await, 1000);
    holder.rollback().await.unwrap();
    assert!(shop.import(text(&mut lines(1, 5))).await.status.success());
    assert_eq!(shop.world.number("SELECT count(*) FROM stock").await, 1500);
}

#[tokio::test]
async fn every_bad_line_is_told_at_once_and_nothing_is_imported() {
    let shop = Shop::with_stock(&[(1, 7, 5)]).await;
    let loms = shop.world.loms().await;
    create(&loms.client(), order(user(), &[(7, 4)])).await.unwrap();
    let before = shop.list().await;
    let file = b"\xef\xbb\xbfwarehouse_id,sku,count\n\
                 2,7,10\n\
                 0,0,-1\n\
                 \n\
                 x,7.5,\n\
                 1,7,3\n\
                 2,7,11\n\
                 3,4294967296,1000000001\n\
                 3,9\n\
                 3,9,1,1\n\
                 \xff,9,1\n\
                 4,9,99999999999999999999\n";
    let faults = shop.faults(file).await;
    let expected = [
        "line 3: warehouse_id must be above 0, is 0",
        "line 3: sku must be above 0, is 0",
        "line 3: count must be from 0 to 1000000000, is -1",
        "line 5: warehouse_id must be a whole number, is \"x\"",
        "line 5: sku must be a whole number, is \"7.5\"",
        "line 5: count must be a whole number, is \"\"",
        "line 6: count is 3, but 4 are reserved",
        "line 7: sets SKU 7 in warehouse 2 again, after line 2",
        "line 8: sku must be from 1 to 4294967295, is 4294967296",
        "line 8: count must be from 0 to 1000000000, is 1000000001",
        "line 9: must have 3 fields, has 2",
        "line 10: must have 3 fields, has 4",
        "line 11: ",
        "line 12: count is far out of bounds: 99999999999999999999",
    ];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, expected) in std::iter::zip(&faults, expected) {
        assert!(fault.starts_with(expected), "{fault:?} is not {expected:?}");
    }
    assert_eq!(shop.list().await, before);
}

#[tokio::test]
async fn a_file_of_another_shape_is_refused() {
    let shop = Shop::with_stock(&[]).await;
    for text in ["", "1,7,5\n", "warehouse_id;sku;count\n1;7;5\n", "warehouse_id,sku,count,price\n1,7,5,1\n"] {
        assert_eq!(shop.faults(text).await, ["line 1: must be the header warehouse_id,sku,count"], "{text:?}");
    }
    let missing = run(&["stock", "import", "nowhere.csv"], Some(&shop.config)).await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("cannot read nowhere.csv"));
}

#[tokio::test]
async fn a_database_without_its_migrations_is_refused_until_they_are_applied() {
    let shop = Shop::with_stock(&[]).await;
    let revert = run(&["migrate", "--revert"], Some(&shop.config)).await;
    assert!(revert.status.success(), "{revert:?}");
    let refused = run(&["stock", "list"], Some(&shop.config)).await;
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("_orders_of_user; run `loms migrate`"), "{text}");
    assert_eq!(run(&["serve"], Some(&shop.config)).await.status.code(), Some(1));
    assert!(run(&["migrate"], Some(&shop.config)).await.status.success());
    assert_eq!(shop.list().await, "warehouse_id,sku,on_hand,reserved,free\n");
}

#[tokio::test]
async fn a_migration_is_taken_back_with_what_holds_rows_only_for_whoever_says_so() {
    let shop = Shop::with_stock(&[(1, 7, 10)]).await;
    shop.world.database.leave_unchecked();
    let revert = async |options: &[&str]| {
        let output = run(&[&["migrate", "--revert"], options].concat(), Some(&shop.config)).await;
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (output.status.code(), said)
    };
    let tables = "SELECT string_agg(relname || relnatts, ' ' ORDER BY relname) FROM pg_class \
                  WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let tables = async || sqlx::query_scalar::<_, String>(tables).fetch_one(&shop.world.database.pool).await.unwrap();
    let loms = shop.world.loms().await;
    create(&loms.client(), order(user(), &[(7, 1)])).await.unwrap();
    loms.stop().await;
    for statement in [
        "UPDATE orders SET traceparent = NULL",
        "DELETE FROM outbox",
        "INSERT INTO outbox (order_id, user_id, status, message, occurred_at) \
         SELECT id, user_id, status, '', now() FROM orders, generate_series(1, 2)",
    ] {
        shop.world.execute(statement).await.unwrap();
    }

    let (code, said) = revert(&[]).await;
    assert_eq!((code, &*said), (Some(0), "loms: took back 20261130000001\n"), "an index holds no rows");

    let (code, said) = revert(&[]).await;
    assert_eq!(code, Some(0), "nothing has a value in the column: {said}");
    assert!(
        said.starts_with("loms: dropped column orders.traceparent: 0 rows with a value\nloms: took back "),
        "{said}"
    );

    let before = tables().await;
    let (code, said) = revert(&[]).await;
    assert_eq!((code, tables().await), (Some(1), before), "{said}");
    let refusal =
        "_outbox drops what holds rows:\n  table outbox: 2 rows\nnothing was changed; with --yes it is dropped";
    assert!(said.contains(refusal), "{said}");

    let (code, said) = revert(&["--yes"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("loms: dropped table outbox: 2 rows\nloms: took back "), "{said}");

    let (code, said) = revert(&[]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("  table reservation: 1 row\n  table stock: 1 row\n"), "{said}");
    assert_eq!(run(&["migrate", "--yes"], Some(&shop.config)).await.status.code(), Some(64), "--yes to what?");
}

proptest! {
    #[test]
    fn a_file_is_read_to_its_end_whatever_it_holds(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut file = b"warehouse_id,sku,count\n".to_vec();
        file.extend(text);
        let read = loms::domain::stock_file::StockFile::parse(&file);
        let lines = file.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        prop_assert!(read.faults.iter().all(|fault| (2..=lines).contains(&fault.number)));
    }

    #[test]
    fn every_good_file_is_read_in_full(lines in proptest::collection::btree_map((1..9i64, 1..9u32), 0..99i64, 0..50)) {
        let mut text = "warehouse_id,sku,count\n".to_owned();
        for ((warehouse, sku), count) in &lines {
            text.push_str(&format!("{warehouse},{sku},{count}\n"));
        }
        let read = loms::domain::stock_file::StockFile::parse(text.as_bytes());
        prop_assert_eq!(read.faults, []);
        prop_assert_eq!(read.lines.len(), lines.len());
        for (line, (number, ((warehouse, sku), count))) in std::iter::zip(read.lines, std::iter::zip(2.., lines)) {
            let counted = line.counted;
            prop_assert_eq!(
                (line.number, counted.warehouse.get(), counted.sku.get(), i64::from(counted.on_hand.get())),
                (number, warehouse, sku, count)
            );
        }
    }
}
