#!/bin/sh
# Node resets ignored signals, such as SIGHUP under nohup; bit 0 of SigIgn is SIGHUP.
COLDSNAP_NOHUP=0
while read -r name value; do
  case $name$value in SigIgn:*[13579bdf]) COLDSNAP_NOHUP=1 ;; esac
done 2>/dev/null </proc/self/status
export COLDSNAP_NOHUP
unset NODE_OPTIONS; exec /usr/lib/coldsnap/node /usr/lib/coldsnap/bin/coldsnap.js "$@"
