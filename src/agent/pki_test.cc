#include "agent/pki.h"

#include <gtest/gtest.h>

namespace martlet::agent {
namespace {

TEST(Pki, SignsARequestForItsHost) {
  const auto authority = make_authority();
  ASSERT_TRUE(authority);
  const auto request = make_signing_request("host-b");
  ASSERT_TRUE(request);
  EXPECT_EQ(*name_in_request(request->request), "host-b");
  const auto certificate = sign_request(*authority, request->request);
  ASSERT_TRUE(certificate) << certificate.error().to_string();
  EXPECT_EQ(*name_in_certificate(*certificate), "host-b");
  EXPECT_NE(*fingerprint(*certificate), *fingerprint(authority->certificate));
}

TEST(Pki, RefusesATamperedRequest) {
  auto request = make_signing_request("host-b")->request;
  const size_t middle = request.size() / 2;
  request[middle] = request[middle] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(name_in_request(request));
  EXPECT_FALSE(name_in_request("nonsense"));
}

TEST(Pki, RefusesARequestForNoHost) {
  EXPECT_EQ(make_signing_request("a/b").error().code(), Code::kInvalidArgument);
}

TEST(Pki, TwoAuthoritiesDiffer) {
  EXPECT_NE(*fingerprint(make_authority()->certificate),
            *fingerprint(make_authority()->certificate));
}

}  // namespace
}  // namespace martlet::agent
