// A stream: one socket of a link, which carries frames in order, both ways, with its own sequence and its own
// key for each direction. Belongs to the I/O thread.
//
// Sending: frames are taken from the owner when there is room, and leave in batches: small frames together,
// large ones in pieces of kPieceBytes, sealed or summed while they are in the cache. A payload is read from
// where it lies until its frame has left, unless its operation is dropped first: then what is left of it is
// copied, so that the stream stays whole. Receiving: the owner says where a payload goes once the header is
// checked; it is read straight to that place and opened there, as it comes.
#pragma once
#include <sys/uio.h>

#include <memory>

#include "transport/guard.h"
#include "transport/pace.h"
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
  hold,  // leave the frame, and stop reading this stream until resume(); then it is asked about again
};

// Where the payload of a data frame goes.
struct Landing {
  Place place = Place::skip;
  uint8_t* target = nullptr;  // take: header.length bytes
  uint32_t step = 0;          // take: comes back with frame_arrived
};

class Stream;
class StreamOwner {
 public:
  virtual ~StreamOwner() = default;
  // Frames flow: each stream of the link is proved. Until then one that comes is held.
  virtual bool open() const = 0;
  virtual void proved(Stream& stream) = 0;
  // The next frame for this stream, of control alone unless `data`; false where there is none.
  virtual bool next_frame(Stream& stream, bool data, OutgoingFrame* frame) = 0;
  // Bytes of data and probes that may leave now (Pace); spent() counts what left.
  virtual size_t allowance() const = 0;
  virtual void spent(size_t bytes) = 0;
  // As LinkEvents (link.h) has them; every frame but proof and heartbeat.
  virtual Status arriving(Stream& stream, const FrameHeader& header, Landing* landing) = 0;
  virtual Status arrived(Stream& stream, const FrameHeader& header, std::span<const uint8_t> payload,
                         uint32_t step) = 0;
  virtual void sent(Stream& stream, const OutgoingFrame& frame) = 0;
};

class Stream {
 public:
  // The dialer proves itself first; the acceptor answers with its proof, so that each side's stream is proved
  // only once the other has shown its key.
  enum class Side : uint8_t { dialer, acceptor };
  Stream(uint32_t index, Side side, Descriptor socket, Traffic& traffic, StreamOwner& owner);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // With AES-256-GCM from the first frame on, by keys of this stream derived from the link's; else plain
  // frames with CRC-32C.
  Status encrypt(std::span<const uint8_t, crypto::kKeyBytes> send_key,
                 std::span<const uint8_t, crypto::kKeyBytes> receive_key, const RekeyLimits& limits);
  uint32_t index() const { return index_; }
  int descriptor() const { return socket_.get(); }
  bool proved() const { return proved_; }  // the other side has proved itself

  // Sends until the socket is full, nothing is left or allowed, or about kTurnBytes are gone.
  Status flush();
  // Reads until the socket is empty or about kTurnBytes have come.
  Status receive();
  // No memory of the operation's is touched after this: what is half sent is copied, and the rest of a half
  // received payload is read to nowhere. Neither is reported any more.
  void drop_data(uint64_t operation);
  // Goes on reading after Place::hold: resumed() asks for a call of receive().
  void resume() {
    resumed_ = resumed_ || held_;
    held_ = false;
  }
  void beat() { heartbeat_ = true; }  // sends a heartbeat with the next flush

  bool held() const { return held_; }
  bool resumed() const { return resumed_; }
  bool blocked() const { return blocked_; }  // the socket took no more
  void writable() { blocked_ = false; }      // it takes more now
  bool has_batch() const { return batch_bytes_ > 0; }
  bool between_frames() const { return !leaving_ && !has_batch(); }  // may take a frame
  bool unsaid() const { return proof_ || heartbeat_; }               // has words of its own to send
  uint64_t bytes_received() const { return bytes_received_; }
  uint64_t bytes_sent() const { return bytes_sent_; }

  static constexpr size_t kTurnBytes = 256 << 10;  // so that one busy stream doesn't starve the others
  static constexpr size_t kPieceBytes = 128 << 10;

 private:
  enum class Part : uint8_t { header, payload, trailer };
  static constexpr size_t kBatchFrames = 16;
  static constexpr size_t kStagingBytes =
      kPieceBytes + (kBatchFrames + 1) * (kFrameHeaderBytes + kControlPayloadMax + kTrailerBytesMax);
  static constexpr size_t kBufferBytes = 16 << 10;
  static constexpr size_t kReadBytes = 256 << 10;  // at once, so that they are opened while in the cache

  // Sending (stream_send.cpp).
  Status fill();
  Status take_frame(bool data);
  bool own_frame();
  Status add_payload(size_t room);
  Status add_trailer();
  uint8_t* stage(size_t size);
  void add(const uint8_t* bytes, size_t size);
  ssize_t push();
  void advance(size_t sent);
  void finish_batch();
  void keep_batch();
  void count_sent(const FrameHeader& header);

  // Receiving (stream_receive.cpp).
  Status parse();
  Status parse_header(bool* more);
  Status parse_payload();
  Status parse_trailer();
  size_t landing_left() const;
  ssize_t pull();
  Status land(const uint8_t* source, size_t size);
  size_t buffered() const { return buffer_end_ - buffer_begin_; }
  void count_received();

  const uint32_t index_;
  const Side side_;
  Descriptor socket_;
  Traffic& traffic_;
  StreamOwner& owner_;
  bool proved_ = false;

  FrameGuard send_guard_;
  bool proof_ = false, heartbeat_ = false;
  bool blocked_ = false;
  uint64_t send_sequence_ = 0;
  uint64_t bytes_sent_ = 0;
  // The frame that is on its way into batches.
  struct Leaving {
    OutgoingFrame frame;
    bool dropped = false;  // nobody wants to hear of it
  };
  bool leaving_ = false;
  Leaving current_;
  const uint8_t* rest_ = nullptr;  // of its payload, not yet in a batch
  size_t rest_bytes_ = 0;
  std::unique_ptr<uint8_t[]> orphan_;  // the rest of a dropped payload
  // The batch: pieces, and the frames whose last byte is among them.
  std::array<Leaving, kBatchFrames> ended_;
  size_t ended_count_ = 0;
  std::array<iovec, 3 * kBatchFrames + 1> pieces_;
  size_t piece_first_ = 0, piece_count_ = 0;
  size_t batch_bytes_ = 0;              // not sent yet
  std::unique_ptr<uint8_t[]> staging_;  // headers, trailers, and what is sealed or copied
  size_t staged_ = 0;

  FrameGuard receive_guard_;
  std::unique_ptr<uint8_t[]> buffer_;
  size_t buffer_begin_ = 0, buffer_end_ = 0;
  Part part_ = Part::header;
  bool held_ = false, resumed_ = false;
  FrameHeader arriving_;
  Landing landing_;
  size_t landed_ = 0;
  uint64_t receive_sequence_ = 0;
  uint64_t bytes_received_ = 0;
  std::array<uint8_t, kControlPayloadMax> control_{};
};

}  // namespace gradmesh
