// What changed in a file system, as far as events tell: which names, and what happened to the
// objects behind them. A plain value; see change_tracker.h for who fills it and change_plan.h for
// what follows from it.
//
// A name is a directory's object and a string, so that it stays right when directories move. The
// order of events is not kept, because the kernel merges them; what is kept does not depend on it:
// what happened first to an object, and that something happened to a name.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "sys/fanotify.h"
#include "sys/file_handle.h"

namespace martlet::migrate {

class ChangeSet {
 public:
  using ObjectId = uint32_t;

  // Whether the copy is being written while the change happens. If so, it may or may not have it.
  enum class Phase { kCopying, kSettled };

  struct Place {
    ObjectId directory = 0;
    std::string name;
    bool operator==(const Place&) const = default;
  };

  struct Object {
    sys::FileHandle handle;
    std::optional<Place> moved_from;    // where it was before its first move
    std::optional<Place> deleted_from;  // of a directory
    Phase moved_in = Phase::kSettled;   // the phase of its first move
    bool created = false;               // it got a name that it did not have
    // Perhaps through a name that it lost since:
    bool written = false;     // it may have other content
    bool touched = false;     // content or attributes
    bool attributes = false;  // of a directory itself
  };

  struct Name {
    bool arrived = false;  // something was created here, linked or moved to
    bool content = false;  // what is here may have other content
    Name& operator|=(Name other) {
      arrived |= other.arrived;
      content |= other.content;
      return *this;
    }
  };

  void add(const sys::FileEvent& event, Phase phase);

  const std::vector<Object>& objects() const { return objects_; }
  std::optional<ObjectId> find(const sys::FileHandle& handle) const;
  void for_each_name(const std::function<void(const Place&, Name)>& visit) const;

  // Why it is not known what changed; empty: it is. Such a set holds nothing else and stays so.
  const std::string& lost() const { return lost_; }
  void lose(std::string why);
  size_t size() const { return objects_.size() + names_.size(); }

 private:
  struct PlaceHash {
    size_t operator()(const Place& place) const noexcept {
      return std::hash<std::string>{}(place.name) * 31 + place.directory;
    }
  };

  ObjectId intern(const sys::FileHandle& handle);
  Place place_of(const sys::DirectoryEntry& entry);
  void note_object(const sys::FileEvent& event, const Place& place, Phase phase);

  std::vector<Object> objects_;
  std::unordered_map<sys::FileHandle, ObjectId> ids_;
  std::unordered_map<Place, Name, PlaceHash> names_;
  std::string lost_;
};

}  // namespace martlet::migrate
