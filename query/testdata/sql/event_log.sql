SELECT received_at, event_id, status, reason, name, object_type, object_id, external_id, links, missing, submission, stored_at, _topic, _partition, _offset
FROM event_log
WHERE workspace = {ws:String}
ORDER BY workspace DESC, received_at DESC, event_id DESC, _topic DESC, _partition DESC, _offset DESC
LIMIT 51
