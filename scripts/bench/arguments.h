// Parses `--name value` arguments.
#pragma once

#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>

namespace bench {

class Arguments {
 public:
  Arguments(int argc, char** argv, int first) {
    for (int i = first; i < argc; i += 2) {
      const std::string name = argv[i];
      if (name.rfind("--", 0) != 0 || i + 1 == argc) throw std::runtime_error("expected --name value, got " + name);
      values_[name.substr(2)] = argv[i + 1];
    }
  }
  std::string text(const std::string& name, const std::string& missing = "") const {
    const auto found = values_.find(name);
    return found == values_.end() ? missing : found->second;
  }
  unsigned long long number(const std::string& name, unsigned long long missing) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return missing;
    char* end = nullptr;
    const unsigned long long value = std::strtoull(found->second.c_str(), &end, 10);
    if (found->second.empty() || *end != '\0') throw std::runtime_error("--" + name + " is not a number");
    return value;
  }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace bench
