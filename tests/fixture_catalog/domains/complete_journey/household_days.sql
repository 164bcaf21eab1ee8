-- One row per household and day with a purchase: the smallest grain that features need.
WITH
  shopping AS (
    SELECT
      household_id,
      day,
      max(purchased_at) AS last_purchased_at,
      CAST(count(basket_id) AS INTEGER) AS baskets,
      CAST(count(DISTINCT store_id) AS INTEGER) AS stores,
      CAST(sum(CASE WHEN extract(HOUR FROM purchased_at) < 12 THEN 1 ELSE 0 END) AS INTEGER) AS morning_baskets,
      CAST(sum(CASE WHEN extract(HOUR FROM purchased_at) >= 17 THEN 1 ELSE 0 END) AS INTEGER) AS evening_baskets,
      CAST(sum(lines) AS INTEGER) AS lines,
      CAST(sum(items) AS BIGINT) AS items,
      max(departments) AS departments,
      round(sum(spend), 2) AS spend,
      max(spend) AS largest_basket,
      round(sum(retail_discount), 2) AS retail_discount,
      round(sum(coupon_discount), 2) AS coupon_discount,
      round(sum(coupon_match_discount), 2) AS coupon_match_discount,
      round(sum(private_label_spend), 2) AS private_label_spend,
      round(sum(fuel_spend), 2) AS fuel_spend,
      round(sum(grocery_spend), 2) AS grocery_spend,
      round(sum(drugstore_spend), 2) AS drugstore_spend,
      round(sum(produce_spend), 2) AS produce_spend,
      round(sum(meat_spend), 2) AS meat_spend,
      round(sum(deli_spend), 2) AS deli_spend
    FROM baskets
    GROUP BY household_id, day
  ),
  redemptions AS (
    SELECT household_id, day, CAST(count(coupon_upc) AS INTEGER) AS coupons_redeemed
    FROM coupon_redemptions
    GROUP BY household_id, day
  )
SELECT
  shopping.*,
  -- A campaign coupon is redeemed at the till, so every redemption falls on a shopping day.
  coalesce(redemptions.coupons_redeemed, 0) AS coupons_redeemed
FROM shopping
LEFT JOIN redemptions ON redemptions.household_id = shopping.household_id AND redemptions.day = shopping.day
