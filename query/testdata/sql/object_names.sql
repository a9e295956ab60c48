SELECT object_type, object_id, name
FROM objects FINAL
WHERE workspace = {ws:String}
  AND (object_type, object_id) IN arrayZip({types:Array(String)}, {ids:Array(String)})
  AND deleted = 0
