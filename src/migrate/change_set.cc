#include "migrate/change_set.h"

namespace martlet::migrate {

using sys::FileEvent;

ChangeSet::ObjectId ChangeSet::intern(const sys::FileHandle& handle) {
  auto [entry, added] = ids_.try_emplace(handle, static_cast<ObjectId>(objects_.size()));
  if (added) objects_.push_back({.handle = handle, .moved_from = {}, .deleted_from = {}});
  return entry->second;
}

ChangeSet::Place ChangeSet::place_of(const sys::DirectoryEntry& entry) {
  return {.directory = intern(entry.directory), .name = entry.name};
}

std::optional<ChangeSet::ObjectId> ChangeSet::find(const sys::FileHandle& handle) const {
  auto found = ids_.find(handle);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

void ChangeSet::for_each_name(const std::function<void(const Place&, Name)>& visit) const {
  for (const auto& [place, name] : names_) visit(place, name);
}

void ChangeSet::lose(std::string why) {
  objects_.clear();
  ids_.clear();
  names_.clear();
  lost_ = std::move(why);
}

void ChangeSet::note_object(const FileEvent& event, const Place& place, Phase phase) {
  if (event.object.empty()) return;
  Object& object = objects_[intern(event.object)];
  if (event.what & FileEvent::kCreated) object.created = true;
  if (event.what & (FileEvent::kModified | FileEvent::kClosed | FileEvent::kAttributes))
    object.touched = true;
  if (event.what & (FileEvent::kModified | FileEvent::kClosed)) object.written = true;
  if ((event.what & FileEvent::kDeleted) && event.is_directory && !object.deleted_from)
    object.deleted_from = place;
  if ((event.what & FileEvent::kRenamed) && !object.moved_from) {
    object.moved_in = phase;
    object.moved_from = place;
  }
}

void ChangeSet::add(const FileEvent& event, Phase phase) {
  if (!lost_.empty()) return;
  if (event.what & FileEvent::kOverflow) {
    lose("more changed than the kernel keeps track of");
    return;
  }
  if (event.entry.empty()) {
    // Another name of the object came or went. A copy that is made at the same time may take its
    // remaining names for links to what replaced it.
    // Of a directory that was just removed the kernel may not even know the handle; it cannot be
    // told from one that matters.
    if ((event.what & ~FileEvent::kAttributes) || event.object.empty())
      lose("the kernel lost track of a change");
    if (phase == Phase::kCopying && !event.object.empty()) {
      Object& object = objects_[intern(event.object)];
      object.touched = object.written = true;
    }
    return;
  }
  Place place = place_of(event.entry);
  if (place.name == ".") {
    objects_[place.directory].attributes = true;
    return;
  }
  if (event.what & FileEvent::kRenamed) {
    Place from = place_of(event.old_entry);
    note_object(event, from, phase);
    names_.try_emplace(std::move(from));
  } else {
    note_object(event, place, phase);
  }
  Name& name = names_[std::move(place)];
  if (event.what & (FileEvent::kCreated | FileEvent::kRenamed)) name.arrived = true;
  if (event.what & (FileEvent::kModified | FileEvent::kClosed)) name.content = true;
}

}  // namespace martlet::migrate
