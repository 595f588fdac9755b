{
  "targets": [
    {
      "target_name": "coldsnap",
      "sources": [
        "native/addon.cc",
        "native/bindings_blocks.cc",
        "native/bindings_io.cc",
        "native/bindings_sha256.cc",
        "native/block_batch.cc",
        "native/block_device.cc",
        "native/block_io.cc",
        "native/promise_worker.cc",
        "native/sha256.cc",
        "native/sha256_armv8.cc",
        "native/sha256_avx2.cc",
        "native/sha256_avx512.cc",
        "native/sha256_cpu.cc",
        "native/sha256_portable.cc",
        "native/sha256_select.cc",
        "native/sha256_shani.cc",
        "native/zero.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED", "_FILE_OFFSET_BITS=64"],
      "cflags": ["-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["-std=c++17", "-O3"]
    }
  ]
}
