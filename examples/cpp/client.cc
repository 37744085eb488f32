// Removes a tag from a user by gRPC: over TLS, with a token, once however often it has to be sent, and with the details of errors.
//
// Usage: client HOST:PORT CA_FILE TOKEN_FILE USER_ID TAG_KEY

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include <grpcpp/grpcpp.h>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "ram/tag/v1/tag_service.grpc.pb.h"

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long a call may take, and how long it is sent again.
constexpr std::chrono::seconds kCallTime{5};
constexpr std::chrono::seconds kRetryTime{60};

std::optional<std::string> Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// Shows the token of a file with each call. The file is read each time: what puts tokens there renews them.
class Token : public grpc::MetadataCredentialsPlugin {
 public:
  explicit Token(std::string path) : path_(std::move(path)) {}

  grpc::Status GetMetadata(grpc::string_ref, grpc::string_ref, const grpc::AuthContext&,
                           std::multimap<grpc::string, grpc::string>* metadata) override {
    std::optional<std::string> text = Read(path_);
    if (!text) return {grpc::StatusCode::UNAUTHENTICATED, "cannot read " + path_};
    text->erase(text->find_last_not_of(" \r\n") + 1);
    metadata->emplace("authorization", "Bearer " + *text);
    return grpc::Status::OK;
  }

 private:
  std::string path_;
};

std::shared_ptr<grpc::Channel> Connect(const std::string& address, const std::string& authorities,
                                       const std::string& token_file) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = authorities;
  auto token = grpc::MetadataCredentialsFromPlugin(std::make_unique<Token>(token_file));
  return grpc::CreateChannel(address, grpc::CompositeChannelCredentials(grpc::SslCredentials(options), token));
}

// Calls `use` with each detail of an error that has this type.
template <typename Detail, typename Use>
void ForEach(const grpc::Status& error, Use use) {
  google::rpc::Status status;
  status.ParseFromString(error.error_details());
  for (const auto& any : status.details()) {
    Detail detail;
    if (any.UnpackTo(&detail)) use(detail);
  }
}

double Random() {
  static std::mt19937_64 generator{std::random_device{}()};
  return std::uniform_real_distribution<>(0.5, 1)(generator);
}

// How long to wait before the same request is sent again; nothing where that does not help.
std::optional<milliseconds> PauseAfter(const grpc::Status& error, int attempt) {
  const bool is_full = error.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
  if (!is_full && error.error_code() != grpc::StatusCode::UNAVAILABLE) return std::nullopt;
  std::optional<milliseconds> pause;
  ForEach<google::rpc::RetryInfo>(error, [&](const auto& retry) {
    const auto& delay = retry.retry_delay();
    pause = milliseconds(delay.seconds() * 1000 + delay.nanos() / 1'000'000);
  });
  // Without it the request itself is too large.
  if (pause || is_full) return pause;
  const double longest = std::min(100.0 * (1 << std::min(attempt, 10)), 2000.0);
  return milliseconds(static_cast<int64_t>(longest * Random()));
}

std::string NewToken() {
  std::random_device random;
  char text[33];
  std::snprintf(text, sizeof text, "%08x%08x%08x%08x", random(), random(), random(), random());
  return text;
}

grpc::Status Untag(ram::tag::v1::TagService::Stub& service, const std::string& user, const std::string& key,
                   ram::tag::v1::UntagResourcesResponse* answer) {
  ram::tag::v1::UntagResourcesRequest request;
  request.mutable_resource_ids()->add_values(user);
  request.add_tag_keys(key);
  // It makes the request one change: an attempt whose answer was lost is not made twice.
  request.set_client_token(NewToken());
  const auto end = Clock::now() + kRetryTime;
  for (int attempt = 0;; ++attempt) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTime);
    grpc::Status status = service.UntagResources(&context, request, answer);
    if (status.ok()) return status;
    const auto pause = PauseAfter(status, attempt);
    if (!pause || Clock::now() + *pause > end) return status;
    std::cerr << "once more: " << status.error_message() << std::endl;
    std::this_thread::sleep_for(*pause);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 6) {
    std::cerr << "usage: client HOST:PORT CA_FILE TOKEN_FILE USER_ID TAG_KEY\n";
    return 2;
  }
  const std::optional<std::string> authorities = Read(arguments[2]);
  if (!authorities) {
    std::cerr << "cannot read " << arguments[2] << "\n";
    return 2;
  }
  auto service = ram::tag::v1::TagService::NewStub(Connect(arguments[1], *authorities, arguments[3]));
  ram::tag::v1::UntagResourcesResponse answer;
  const grpc::Status status = Untag(*service, arguments[4], arguments[5], &answer);
  if (status.ok()) {
    std::cout << "removed " << answer.changed_tags() << " tag in revision " << answer.revision() << ", request "
              << answer.request_id() << "\n";
    return 0;
  }
  ForEach<google::rpc::ErrorInfo>(status, [&](const auto& info) {
    std::cout << info.metadata().at("code") << ": " << status.error_message() << "\n";
  });
  ForEach<google::rpc::BadRequest>(status, [](const auto& bad) {
    for (const auto& fault : bad.field_violations()) {
      std::cout << "  " << fault.field() << ": " << fault.description() << "\n";
    }
  });
  ForEach<google::rpc::ResourceInfo>(status, [](const auto& info) {
    std::cout << "  " << info.resource_type() << " " << info.resource_name() << "\n";
  });
  ForEach<google::rpc::RequestInfo>(
      status, [](const auto& info) { std::cout << "  request " << info.request_id() << "\n"; });
  std::cerr << "the tag was not removed: " << status.error_message() << "\n";
  return 1;
}
