#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <tinynet/io/json.hpp>
#include <tinynet/io/json_reader.hpp>

namespace tinynet::inline TINYNET_ABI::io {

/// The recursive descent behind `parse_json`.
template <class Json>
class JsonParser {
 public:
  JsonParser(std::string_view text, const std::string& file, std::size_t first_byte)
      : reader_(text, file, first_byte) {}

  Json document() {
    Json result = value();
    reader_.end();
    return result;
  }

 private:
  Json value() {
    const auto byte = reader_.byte();
    Json result = of_kind(reader_.next());
    result.byte_ = byte;
    return result;
  }
  Json of_kind(char first) {
    if (first == '{') return object();
    if (first == '[') return array();
    if (first == '"') return reader_.string("");
    return first == 't' || first == 'f' || first == 'n' ? word() : number();
  }
  Json object() {
    typename Json::Object members;
    reader_.object("", [&](const std::string& name) { members.emplace_back(name, value()); });
    return members;
  }
  Json array() {
    typename Json::Array elements;
    reader_.array("", [&] { elements.push_back(value()); });
    return elements;
  }
  Json word() {
    const auto text = reader_.word();
    return text == "null" ? Json() : Json(text == "true");
  }
  Json number() {
    const auto number = reader_.number();
    return number.is_whole ? Json(number.whole) : Json(number.real);
  }

  JsonReader reader_;
};

/// Reads one JSON value, strictly (JsonReader), after which nothing but white space may follow.
/// Throws DataError with the byte where the text stops being JSON; `file` and `first_byte` say
/// where the text comes from.
template <class Value = Json>
Value parse_json(std::string_view text, const std::string& file = "", std::size_t first_byte = 0) {
  return JsonParser<Value>(text, file, first_byte).document();
}

}  // namespace tinynet::inline TINYNET_ABI::io
