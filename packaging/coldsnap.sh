#!/bin/sh
unset NODE_OPTIONS; exec /usr/lib/coldsnap/node /usr/lib/coldsnap/bin/coldsnap.js "$@"
