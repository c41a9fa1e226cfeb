#!/bin/sh
# Starts SeaweedFS with one S3 identity from the environment, and makes the bucket.
set -eu

umask 077
cat > /tmp/s3.json <<JSON
{"identities": [{"name": "lazaretto",
  "credentials": [{"accessKey": "${S3_ACCESS_KEY:?}", "secretKey": "${S3_SECRET_KEY:?}"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
JSON

# A bucket grows several volumes at once: the default of 8 would soon be full.
weed server -dir=/data -s3 -s3.config=/tmp/s3.json -volume.max=64 -master.volumeSizeLimitMB=512 &
server=$!

until echo "s3.bucket.create -name lazaretto" | weed shell >/dev/null 2>&1; do sleep 1; done
touch /tmp/bucket-ready
wait "$server"
