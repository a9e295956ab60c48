SELECT received_at, event_id, status, reason, name, object_type, object_id, external_id, links, missing, submission, stored_at, _topic, _partition, _offset
FROM event_log
WHERE workspace = {ws:String}
  AND status IN {status:Array(String)}
  AND object_type = {type:String}
  AND object_id = {id:String}
  AND name IN {name:Array(String)}
  AND received_at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC')
  AND received_at < fromUnixTimestamp64Milli({to:Int64}, 'UTC')
  AND received_at <= fromUnixTimestamp64Milli({after_time:Int64}, 'UTC')
  AND (received_at, event_id, _topic, _partition, _offset) < (fromUnixTimestamp64Milli({after_time:Int64}, 'UTC'), {after_id:String}, {after_topic:String}, {after_partition:Int32}, {after_offset:Int64})
ORDER BY workspace DESC, received_at DESC, event_id DESC, _topic DESC, _partition DESC, _offset DESC
LIMIT 51
