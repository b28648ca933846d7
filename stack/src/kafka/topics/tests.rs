#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

fn create(topics: &mut Topics, name: &str, partitions: Option<u32>) -> Result<(), ResponseError> {
    let description = topics.check(name, partitions, Settings::default())?;
    topics.create(name, description)
}

#[test]
fn topics_are_there_again_after_a_restart_and_deleted_ones_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut topics = Topics::open(directory.path()).unwrap();
    for name in ["orders", "orders.dlq"] {
        create(&mut topics, name, Some(3)).unwrap();
    }
    assert_eq!(create(&mut topics, "orders", None), Err(ResponseError::TopicAlreadyExists));
    let deleted = Arc::clone(topics.get("orders.dlq").unwrap());
    topics.delete("orders.dlq").unwrap();
    assert!(deleted.partition(0).is_err(), "nobody writes into what may be another topic's");
    assert_eq!(topics.delete("orders.dlq"), Err(ResponseError::UnknownTopicOrPartition));
    let id = topics.get("orders").unwrap().description.id;
    // A creation and a deletion that did not come to their end.
    for half in ["new 1", "deleted 2"] {
        fs::create_dir(directory.path().join(half)).unwrap();
    }

    let topics = Topics::open(directory.path()).unwrap();
    assert_eq!(topics.all().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["orders"]);
    assert_eq!(topics.get("orders").unwrap().description.id, id);
    assert_eq!(topics.named(id).unwrap().0, "orders");
    assert!(topics.get("orders").unwrap().partition(2).is_ok() && topics.get("orders").unwrap().partition(3).is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_topic_stays_where_it_is_and_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("mine/precious")).unwrap();
    fs::write(directory.path().join(".DS_Store"), "").unwrap();
    let mut topics = Topics::open(directory.path()).unwrap();
    assert_eq!(topics.all().count(), 0);
    assert_eq!(create(&mut topics, "mine", None), Err(ResponseError::KafkaStorageError));
    let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".DS_Store", "mine"], "of a creation that fails, nothing stays");
    assert!(directory.path().join("mine/precious").exists());
}

#[test]
fn names_that_are_no_names_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut topics = Topics::open(directory.path()).unwrap();
    for name in ["", ".", "..", "a/b", "ä", "deleted 1", "new 1", &"x".repeat(250)] {
        let created = create(&mut topics, name, None);
        assert_eq!(created, Err(ResponseError::InvalidTopicException), "{name}");
    }
    for partitions in [0, 1001] {
        let created = create(&mut topics, "orders", Some(partitions));
        assert_eq!(created, Err(ResponseError::InvalidPartitions), "{partitions}");
    }
}

#[test]
fn there_are_not_more_partitions_than_there_is_room_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut topics = Topics::open(directory.path()).unwrap();
    for number in 0..MOST_IN_ALL / MOST_PARTITIONS {
        create(&mut topics, &number.to_string(), Some(MOST_PARTITIONS)).unwrap();
    }
    assert_eq!(create(&mut topics, "more", None), Err(ResponseError::InvalidPartitions));
}

#[test]
fn a_description_of_an_earlier_broker_is_read() {
    let text = r#"{"id":"6d3c51d5-6f0e-4f43-a4c4-3d3c3c1b9b1c","partitions":2,"max_message_bytes":70}"#;
    let description: Description = serde_json::from_str(text).unwrap();
    let settings = Settings { max_message_bytes: 70, ..Settings::default() };
    assert_eq!((description.epoch, description.partitions, description.settings), (0, 2, settings));
}
