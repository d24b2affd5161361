// A link: an admitted socket to one peer that carries frames in order, both ways. Belongs to the I/O thread.
//
// Sending: frames wait in a queue and leave one at a time; a payload is read from where it lies until the
// frame has left, unless its operation ends first: then what is left of it is copied, so that the stream
// stays whole. Receiving: the events say where a payload goes once the header is checked; it is read straight
// to that place.
#pragma once
#include <deque>
#include <memory>
#include <vector>

#include "transport/guard.h"
#include "transport/socket.h"
#include "transport/traffic.h"

namespace gradmesh {

struct OutgoingFrame {
  FrameHeader header;                // without its sequence, which it gets when it leaves
  const uint8_t* payload = nullptr;  // data: must stay readable until frame_sent or drop_data
  uint32_t step = 0;                 // data: for frame_sent
  std::array<uint8_t, kControlPayloadMax> control{};  // payload of every other type
};

enum class Place : uint8_t {
  take,  // read the payload to the target
  skip,  // read it to nowhere
  hold,  // leave the frame, and stop reading until resume(); then it is asked about again
};

class Link;
class LinkEvents {
 public:
  virtual ~LinkEvents() = default;
  // Where the payload of a data frame goes; a failure ends the link. *target must hold header.length bytes.
  // The header is not proved yet, so nothing but the place may follow from it.
  virtual Status frame_arriving(Link& link, const FrameHeader& header, Place* place, uint8_t** target) = 0;
  // The whole frame is there and proved, and was not skipped. payload is that of control frames, empty for
  // data. A control frame that comes too early sets *hold: nothing more is read, and it comes again after
  // resume().
  virtual Status frame_arrived(Link& link, const FrameHeader& header, std::span<const uint8_t> payload,
                               bool* hold) = 0;
  virtual void frame_sent(Link& link, const OutgoingFrame& frame) = 0;
};

class Link {
 public:
  // The dialer proves itself first; the acceptor answers with its proof, so that each side's link is open
  // only once the other has shown its key.
  enum class Side : uint8_t { dialer, acceptor };
  Link(uint32_t id, Side side, Descriptor socket, Traffic& traffic, LinkEvents& events);

  // With AES-256-GCM from the first frame on; else plain frames with CRC-32C.
  Status encrypt(std::span<const uint8_t, crypto::kKeyBytes> send_key,
                 std::span<const uint8_t, crypto::kKeyBytes> receive_key);
  uint32_t id() const { return id_; }
  int descriptor() const { return socket_.get(); }
  bool open() const { return open_; }  // the other side has proved itself
  size_t trailer_bytes() const { return send_guard_.trailer_bytes(); }

  void send(const OutgoingFrame& frame) { queue_.push_back(frame); }
  // No caller's memory is touched after this: forgets queued data, keeps its own copy of what is half sent,
  // and reads the rest of a half received payload to nowhere.
  void drop_data();
  // Sends until the socket is full or about kTurnBytes are gone.
  Status flush();
  // Reads until the socket is empty or about kTurnBytes have come.
  Status receive();
  // Goes on reading after Place::hold: resumed() asks for a call of receive().
  void resume() {
    resumed_ = resumed_ || held_;
    held_ = false;
  }

  bool held() const { return held_; }
  bool resumed() const { return resumed_; }
  bool idle() const { return !sending_ && queue_.empty(); }
  bool blocked() const { return blocked_; }  // the socket took no more
  uint64_t bytes_received() const { return bytes_received_; }

  static constexpr size_t kTurnBytes = 1 << 20;  // so that one busy link doesn't starve the others

 private:
  enum class Part : uint8_t { header, payload, trailer, delivery };

  Status start_frame();
  void finish_frame();
  Status parse();
  Status parse_header(bool* more);
  void place_payload(Place place, uint8_t* target);
  void parse_payload();
  Status parse_trailer();
  Status deliver(bool* more);
  size_t buffered() const { return buffer_end_ - buffer_begin_; }
  void count_received();
  // Owned memory, grown to hold so many bytes, never null; its content is lost when it grows.
  struct Block {
    std::unique_ptr<uint8_t[]> bytes;
    size_t capacity = 0;
    uint8_t* hold(size_t size);
  };

  const uint32_t id_;
  const Side side_;
  Descriptor socket_;
  Traffic& traffic_;
  LinkEvents& events_;
  bool open_ = false;

  // Sending.
  FrameGuard send_guard_;
  std::deque<OutgoingFrame> queue_;
  bool sending_ = false;
  bool blocked_ = false;
  OutgoingFrame leaving_;
  FrameHeaderBytes leaving_header_{};
  const uint8_t* leaving_payload_ = nullptr;
  uint8_t leaving_trailer_[kTrailerBytesMax] = {};
  size_t leaving_sent_ = 0;
  uint64_t send_sequence_ = 0;
  Block sealed_;  // ciphertext, or the copy of a dropped payload

  // Receiving.
  static constexpr size_t kBufferBytes = 64 << 10;
  FrameGuard receive_guard_;
  std::unique_ptr<uint8_t[]> buffer_;
  size_t buffer_begin_ = 0, buffer_end_ = 0;
  Part part_ = Part::header;
  bool held_ = false, resumed_ = false;
  FrameHeader arriving_;
  FrameHeaderBytes arriving_header_{};
  Place place_ = Place::skip;
  uint8_t* target_ = nullptr;   // where the payload ends up; null: nowhere
  uint8_t* landing_ = nullptr;  // where it is read to; null: nowhere, through the buffer
  size_t landed_ = 0;
  uint32_t skipped_crc_ = 0;
  uint64_t receive_sequence_ = 0;
  uint64_t bytes_received_ = 0;
  std::array<uint8_t, kControlPayloadMax> control_{};
  Block cipher_;
};

}  // namespace gradmesh
